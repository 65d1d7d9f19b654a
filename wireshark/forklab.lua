-- Uevents and process events for tshark and Wireshark: what NETLINK_KOBJECT_UEVENT and NETLINK_CONNECTOR carry.
--
--   tshark -X lua_script:wireshark/forklab.lua -r FILE.pcap
--
-- Wireshark has a dissector for link type 253 (LINKTYPE_NETLINK). It reads the header that nlmon writes, and then looks
-- for a nlmsghdr: uevents have none, so that it calls them malformed, and of connector messages it shows no more than
-- that header. This script takes its place for these two families, and leaves all others, and what user space sends to
-- the kernel as a uevent (with a nlmsghdr), to it.
--
-- The rules are those of uevent/src/wire.rs and uevent/src/wire/connector.rs, in their words: tests/wireshark.rs holds
-- the two against each other. Tried with tshark 4.0.17, Lua 5.2.

local COOKED = 16 -- bytes that nlmon writes in front
local PACKET_USER, PACKET_KERNEL = 6, 7
local NETLINK_CONNECTOR, NETLINK_KOBJECT_UEVENT = 11, 15

local netlink = Proto("forklab", "Netlink, read by forklab.lua")
local uevent = Proto("uevent", "Kobject uevent")
local cn = Proto("cn", "Netlink connector")
local proc = Proto("proc", "Process event")

local u = {
  action = ProtoField.string("uevent.action", "Action"),
  devpath = ProtoField.string("uevent.devpath", "Device path"),
  layout = ProtoField.string("uevent.layout", "Layout", base.NONE, "bare, keyed or libudev"),
  string = ProtoField.string("uevent.string", "String", base.NONE, "A string without KEY="),
  env = ProtoField.string("uevent.env", "Environment"),
  key = ProtoField.string("uevent.key", "Key"),
  value = ProtoField.string("uevent.value", "Value"),
  seqnum = ProtoField.uint64("uevent.seqnum", "Sequence number"),
  parent = ProtoField.int32("uevent.fork.parent", "Parent"),
  child = ProtoField.int32("uevent.fork.child", "Child"),
  magic = ProtoField.uint32("uevent.libudev.magic", "Magic", base.HEX),
  header_size = ProtoField.uint32("uevent.libudev.header_size", "Header size"),
  properties_off = ProtoField.uint32("uevent.libudev.properties_off", "Offset of the properties"),
  properties_len = ProtoField.uint32("uevent.libudev.properties_len", "Length of the properties"),
  subsystem_hash = ProtoField.uint32("uevent.libudev.subsystem_hash", "Hash of the subsystem", base.HEX),
  devtype_hash = ProtoField.uint32("uevent.libudev.devtype_hash", "Hash of the device type", base.HEX),
  tag_bloom = ProtoField.uint64("uevent.libudev.tag_bloom", "Bloom filter of the tags", base.HEX),
  trailing = ProtoField.bytes("uevent.trailing", "Behind the properties"),
}
local c = {
  nlmsg_len = ProtoField.uint32("cn.nlmsg_len", "nlmsg_len"),
  nlmsg_type = ProtoField.uint16("cn.nlmsg_type", "nlmsg_type", base.DEC, { [3] = "NLMSG_DONE" }),
  nlmsg_flags = ProtoField.uint16("cn.nlmsg_flags", "nlmsg_flags", base.HEX),
  nlmsg_seq = ProtoField.uint32("cn.nlmsg_seq", "nlmsg_seq"),
  nlmsg_pid = ProtoField.uint32("cn.nlmsg_pid", "nlmsg_pid"),
  idx = ProtoField.uint32("cn.idx", "id.idx", base.HEX, { [1] = "CN_IDX_PROC", [0xfeed] = "CN_IDX_FORK" }),
  val = ProtoField.uint32("cn.val", "id.val", base.HEX),
  seq = ProtoField.uint32("cn.seq", "seq"),
  ack = ProtoField.uint32("cn.ack", "ack"),
  len = ProtoField.uint16("cn.len", "len"),
  flags = ProtoField.uint16("cn.flags", "flags", base.HEX),
  data = ProtoField.bytes("cn.data", "Data"),
  text = ProtoField.string("cn.text", "Text", base.NONE, "What the fork connector of February 2005 sent"),
}

-- enum what of include/uapi/linux/cn_proc.h: its name, and the words behind it.
local PIDS = { "pid", "tgid" }
local EVENTS = {
  [0] = { "none", { "err" } },
  [1] = { "fork", { "parent.pid", "parent.tgid", "child.pid", "child.tgid" } },
  [2] = { "exec", PIDS },
  [4] = { "uid", { "pid", "tgid", "ruid", "euid" } },
  [0x40] = { "gid", { "pid", "tgid", "rgid", "egid" } },
  [0x80] = { "sid", PIDS },
  [0x100] = { "ptrace", { "pid", "tgid", "tracer.pid", "tracer.tgid" } },
  [0x200] = { "comm", PIDS },
  [0x40000000] = { "coredump", { "pid", "tgid", "parent.pid", "parent.tgid" } },
  [0x80000000] = { "exit", { "pid", "tgid", "exit_code", "exit_signal", "parent.pid", "parent.tgid" } },
}
local what_names = {}
for what, event in pairs(EVENTS) do
  what_names[what] = event[1]
end

local p = {
  what = ProtoField.uint32("proc.what", "what", base.HEX, what_names),
  cpu = ProtoField.uint32("proc.cpu", "cpu"),
  timestamp = ProtoField.uint64("proc.timestamp", "timestamp_ns"),
  comm = ProtoField.string("proc.comm", "comm"),
  mcast_op = ProtoField.uint32("proc.mcast_op", "Request", base.DEC,
    { [1] = "PROC_CN_MCAST_LISTEN", [2] = "PROC_CN_MCAST_IGNORE" }),
  mask = ProtoField.uint32("proc.mask", "Events asked for", base.HEX),
  err = ProtoField.uint32("proc.err", "err"),
  ruid = ProtoField.uint32("proc.ruid", "ruid"),
  euid = ProtoField.uint32("proc.euid", "euid"),
  rgid = ProtoField.uint32("proc.rgid", "rgid"),
  egid = ProtoField.uint32("proc.egid", "egid"),
  exit_code = ProtoField.uint32("proc.exit_code", "exit_code"),
  exit_signal = ProtoField.int32("proc.exit_signal", "exit_signal"),
}
for _, who in ipairs({ "", "parent.", "child.", "tracer." }) do
  for _, id in ipairs(PIDS) do
    p[who .. id] = ProtoField.int32("proc." .. who .. id, (who .. id):gsub("%.", " "), base.DEC)
  end
end

-- Wireshark's own names, so that a filter finds these packets, too.
local n = {
  packet_type = ProtoField.uint16("forklab.packet_type", "Packet type", base.DEC,
    { [PACKET_USER] = "PACKET_USER, to user space", [PACKET_KERNEL] = "PACKET_KERNEL, to the kernel" }),
  hatype = ProtoField.uint16("netlink.hatype", "Link-layer address type", base.DEC, { [824] = "Netlink" }),
  family = ProtoField.uint16("netlink.family", "Family", base.HEX,
    { [NETLINK_CONNECTOR] = "Kernel connector", [NETLINK_KOBJECT_UEVENT] = "Kernel messages to userspace" }),
}

local function list(fields)
  local all = {}
  for _, field in pairs(fields) do
    all[#all + 1] = field
  end
  return all
end
netlink.fields, uevent.fields, cn.fields, proc.fields = list(n), list(u), list(c), list(p)

local function experts(proto, name)
  local malformed = ProtoExpert.new(name .. ".malformed", "Cannot be read", expert.group.MALFORMED, expert.severity.ERROR)
  local odd = ProtoExpert.new(name .. ".odd", "No kernel writes this", expert.group.PROTOCOL, expert.severity.WARN)
  proto.experts = { malformed, odd }
  return { malformed = malformed, odd = odd }
end
local ue, ce, pe = experts(uevent, "uevent"), experts(cn, "cn"), experts(proc, "proc")

-- Errors, in the words of uevent::wire::WireError -------------------------------------------------------------------

-- What is wrong with the byte at this offset, counted from 0.
local function wrong(bytes, offset, expected)
  local byte = bytes:byte(offset + 1)
  local found
  if not byte then
    found = "end of message"
  elseif byte == 0 then
    found = "NUL"
  elseif byte >= 0x20 and byte <= 0x7e then
    found = "'" .. string.char(byte) .. "'"
  else
    found = string.format("byte 0x%02x", byte)
  end
  return string.format("at byte %d: found %s, expected %s", offset, found, expected)
end

local function wrong_word(offset, word, expected)
  return string.format("at byte %d: found %.0f (0x%08x), expected %s", offset, word, word, expected)
end

-- An unsigned number at this offset, counted from 0. The bytes are there: who calls has looked.
local function number_at(bytes, offset, size, little)
  local number = 0
  for i = 0, size - 1 do
    local at = little and offset + size - i or offset + i + 1
    number = number * 256 + bytes:byte(at)
  end
  return number
end

-- Decimal, spelt exactly as the kernel prints it; no longer and no larger than the largest.
local function as_printed(text, largest, smallest)
  local minus, digits = text:match("^(%-?)(%d+)$")
  if not digits or (digits:sub(1, 1) == "0" and text ~= "0") then
    return nil
  end
  local limit = minus == "-" and smallest or largest
  local fits = limit and (#digits < #limit or (#digits == #limit and digits <= limit))
  return fits and text or nil
end

local function as_int(text)
  return as_printed(text, "2147483647", "2147483648")
end

local function as_u64(text)
  return as_printed(text, "18446744073709551615", nil)
end

-- Uevents -----------------------------------------------------------------------------------------------------------

-- The strings of bytes[from, to), each with its offset; a NUL ends a string, the last need not have one.
local function strings(bytes, from, to)
  local all = {}
  while from < to do
    local nul = bytes:find("\0", from + 1, true)
    local stop = (nul and nul <= to) and nul - 1 or to
    all[#all + 1] = { offset = from, text = bytes:sub(from + 1, stop), ended = stop < to }
    from = stop + 1
  end
  return all
end

-- Parent and child of a bare fork event, or what is wrong: uevent::wire::Message::fork_pids().
local function fork_pids(bytes, body, all)
  local at, pids = body, {}
  for i = 1, 2 do
    local string = all[i] or { offset = at, text = "", ended = false }
    if not as_int(string.text) then
      return nil, wrong(bytes, string.offset, "a pid as %d writes it")
    end
    at = string.offset + #string.text
    if not string.ended then
      return nil, wrong(bytes, at, "NUL after the number")
    end
    at = at + 1
    pids[i] = { offset = string.offset, text = string.text, number = tonumber(string.text) }
  end
  local extra = all[3]
  if not extra then
    return pids
  end
  local number = extra.text:match("^SEQNUM=(.*)$")
  if not number then
    return nil, wrong(bytes, extra.offset, "nothing after the two pids")
  elseif not as_u64(number) then
    return nil, wrong(bytes, extra.offset + 7, "a u64 as %llu writes it")
  elseif not extra.ended then
    return nil, wrong(bytes, extra.offset + #extra.text, "NUL after the number")
  elseif all[4] then
    return nil, wrong(bytes, all[4].offset, "nothing after SEQNUM")
  end
  return pids
end

-- One string of the environment.
local function add_string(tree, tvb, string)
  local range = tvb(COOKED + string.offset, #string.text)
  local equals = string.text:find("=", 1, true)
  if not equals then
    tree:add_packet_field(u.string, range, ENC_UTF_8 + ENC_STRING)
    return
  end
  local env = tree:add_packet_field(u.env, range, ENC_UTF_8 + ENC_STRING)
  env:add_packet_field(u.key, range(0, equals - 1), ENC_UTF_8 + ENC_STRING)
  -- Of the packet, not of the range: a range has no empty piece at its end.
  env:add_packet_field(u.value, tvb(COOKED + string.offset + equals, #string.text - equals), ENC_UTF_8 + ENC_STRING)
end

-- The environment, and what is odd about it. Gives back how many keys there are.
local function add_strings(tree, tvb, bytes, layout, all)
  local keys = 0
  for _, string in ipairs(all) do
    add_string(tree, tvb, string)
    local equals = string.text:find("=", 1, true)
    keys = keys + (equals and 1 or 0)
    if layout ~= "bare" and (equals or 1) == 1 then
      tree:add_proto_expert_info(ue.odd, wrong(bytes, string.offset, "KEY=value"))
    end
  end
  local last = all[#all]
  if last and not last.ended then
    tree:add_proto_expert_info(ue.odd, wrong(bytes, last.offset + #last.text, "NUL after the last string"))
  end
  return keys
end

-- Reads udevd's header: where its properties begin and end, or what is wrong with it.
local function libudev_header(bytes, tree, tvb)
  if #bytes < 40 then
    return nil, nil, wrong(bytes, #bytes, "a libudev header of 40 bytes")
  end
  -- Sizes are in the byte order of the machine: the one in which the header has a size that it can have.
  local little = number_at(bytes, 12, 4, true) <= number_at(bytes, 12, 4, false)
  local add = little and tree.add_le or tree.add
  tree:add(u.magic, tvb(COOKED + 8, 4))
  add(tree, u.header_size, tvb(COOKED + 12, 4))
  add(tree, u.properties_off, tvb(COOKED + 16, 4))
  add(tree, u.properties_len, tvb(COOKED + 20, 4))
  tree:add(u.subsystem_hash, tvb(COOKED + 24, 4))
  tree:add(u.devtype_hash, tvb(COOKED + 28, 4))
  tree:add(u.tag_bloom, tvb(COOKED + 32, 8))
  local magic = number_at(bytes, 8, 4, false)
  local size, off, len = number_at(bytes, 12, 4, little), number_at(bytes, 16, 4, little), number_at(bytes, 20, 4, little)
  if magic ~= 0xfeedcafe then
    return nil, nil, wrong_word(8, magic, "the magic 0xfeedcafe")
  elseif size < 40 then
    return nil, nil, wrong_word(12, size, "a header size of at least 40")
  elseif off < size then
    return nil, nil, wrong_word(16, off, "properties after the header")
  elseif off > #bytes then
    return nil, nil, wrong_word(16, off, "properties inside the message")
  elseif off + len > #bytes then
    return nil, nil, wrong_word(20, len, "properties that end inside the message")
  end
  return off, off + len
end

-- The first string KEY=…, without the key.
local function first(all, key)
  for _, string in ipairs(all) do
    if string.text:sub(1, #key) == key then
      return { offset = string.offset + #key, text = string.text:sub(#key + 1), ended = string.ended }
    end
  end
end

-- The header of the two layouts that have one, action@path: uevent::wire::Message::parse().
local function kernel_header(bytes)
  local at = bytes:find("[@%z]")
  if not at or bytes:byte(at) == 0 then
    return nil, nil, nil, wrong(bytes, at and at - 1 or #bytes, "'@' after the action")
  end
  local nul = bytes:find("\0", at + 1, true)
  if not nul then
    return nil, nil, nil, wrong(bytes, #bytes, "NUL after the path")
  end
  local action = { offset = 0, text = bytes:sub(1, at - 1) }
  local devpath = { offset = at, text = bytes:sub(at + 1, nul - 1) }
  return action, devpath, nul
end

local function libudev_parts(bytes, tree, tvb)
  local from, to, why = libudev_header(bytes, tree, tvb)
  if why then
    return nil, nil, nil, why
  end
  local all = strings(bytes, from, to)
  local action, devpath = first(all, "ACTION="), first(all, "DEVPATH=")
  if not action then
    return nil, nil, nil, wrong(bytes, to, "ACTION= among the properties")
  elseif not devpath then
    return nil, nil, nil, wrong(bytes, to, "DEVPATH= among the properties")
  end
  return action, devpath, from, nil, all, to
end

-- Parent and child of a fork event with keys, if it has both.
local function keyed_pids(all)
  local parent, child = first(all, "PPID="), first(all, "PID=")
  if parent and child and as_int(parent.text) and as_int(child.text) then
    parent.number, child.number = tonumber(parent.text), tonumber(child.text)
    return { parent, child }
  end
end

local function add_pids(tree, tvb, pids)
  for i, field in ipairs({ u.parent, u.child }) do
    tree:add(field, tvb(COOKED + pids[i].offset, #pids[i].text), pids[i].number)
  end
end

-- The number in the first SEQNUM=, or what is wrong with it: uevent::wire::Message::seqnum().
local function seqnum_of(bytes, all)
  local value = first(all, "SEQNUM=")
  if not value then
    return nil
  elseif not as_u64(value.text) then
    return nil, wrong(bytes, value.offset, "a u64 as %llu writes it")
  elseif not value.ended then
    return nil, wrong(bytes, value.offset + #value.text, "NUL after the number")
  end
  return value
end

local function info_of_uevent(layout, action, devpath, pids, seqnum, keys)
  local info = (layout == "libudev" and "libudev " or "") .. action.text .. "@" .. devpath.text
  if pids then
    info = info .. " " .. pids[1].text .. " " .. pids[2].text
  end
  if keys > 0 then
    info = info .. " " .. keys .. (keys == 1 and " key" or " keys")
  end
  return seqnum and info .. " seq " .. seqnum.text or info
end

local function dissect_uevent(tvb, pinfo, root, bytes)
  pinfo.cols.protocol = "uevent"
  local tree = root:add(uevent, tvb(COOKED))
  local libudev = bytes:sub(1, 8) == "libudev\0"
  local parts = libudev and libudev_parts or kernel_header
  local action, devpath, body, why, all, stop = parts(bytes, tree, tvb)
  if why then
    tree:add_proto_expert_info(ue.malformed, why)
    pinfo.cols.info = "not a uevent: " .. why
    return
  end
  all, stop = all or strings(bytes, body, #bytes), stop or #bytes
  local keyed = all[1] and all[1].text:find("=", 1, true)
  local layout = libudev and "libudev" or keyed and "keyed" or "bare"
  tree:add(u.layout, tvb(COOKED, body), layout):set_generated()
  tree:add_packet_field(u.action, tvb(COOKED + action.offset, #action.text), ENC_UTF_8 + ENC_STRING)
  tree:add_packet_field(u.devpath, tvb(COOKED + devpath.offset, #devpath.text), ENC_UTF_8 + ENC_STRING)
  local pids
  if layout == "bare" and action.text == "fork" then
    pids, why = fork_pids(bytes, body, all)
    if why then
      tree:add_proto_expert_info(ue.odd, why)
    end
  elseif layout ~= "bare" then
    pids = keyed_pids(all)
  end
  if pids then
    add_pids(tree, tvb, pids)
  end
  local keys = add_strings(tree, tvb, bytes, layout, all)
  local seqnum, why_not = seqnum_of(bytes, all)
  if seqnum then
    tree:add(u.seqnum, tvb(COOKED + seqnum.offset, #seqnum.text), UInt64(seqnum.text))
  elseif why_not and why_not ~= why then
    tree:add_proto_expert_info(ue.odd, why_not)
  end
  if stop < #bytes then
    tree:add(u.trailing, tvb(COOKED + stop))
    tree:add_proto_expert_info(ue.odd, wrong(bytes, stop, "nothing after the properties"))
  end
  pinfo.cols.info = info_of_uevent(layout, action, devpath, pids, seqnum, layout == "bare" and 0 or keys)
end

-- Connector messages ------------------------------------------------------------------------------------------------

local HEAD = 36 -- nlmsghdr and cn_msg

-- "PPID CPID\0" of the fork connector.
local function dissect_fork_text(tvb, tree, bytes, len)
  local data = bytes:sub(HEAD + 1, HEAD + len)
  local nul = data:find("\0", 1, true)
  if not nul then
    return nil, wrong(bytes, HEAD + len, "NUL after the two pids")
  elseif nul ~= len then
    return nil, wrong(bytes, HEAD + nul, "nothing after the NUL")
  end
  tree:add_packet_field(c.text, tvb(COOKED + HEAD, nul - 1), ENC_UTF_8 + ENC_STRING)
  local text = data:sub(1, nul - 1)
  local space = text:find(" ", 1, true)
  if not space then
    return nil, wrong(bytes, HEAD + nul - 1, "a space between the two pids")
  end
  local parent, child = text:sub(1, space - 1), text:sub(space + 1)
  if not as_int(parent) then
    return nil, wrong(bytes, HEAD, "a pid as %i writes it")
  elseif not as_int(child) then
    return nil, wrong(bytes, HEAD + space, "a pid as %i writes it")
  end
  tree:add(p["parent.pid"], tvb(COOKED + HEAD, #parent), tonumber(parent))
  tree:add(p["child.pid"], tvb(COOKED + HEAD + space, #child), tonumber(child))
  return "fork " .. parent .. " -> " .. child
end

-- `101`, or `101/100` for thread 101 of process 100.
local function thread(word, who)
  local pid, tgid = word[who .. "pid"], word[who .. "tgid"]
  return pid == tgid and pid or pid .. "/" .. tgid
end

-- What happened, for the info column: the words of uevent::wire::proc_event::What.
local function info_of_event(name, word, comm)
  if name == "none" then
    return word.err == "0" and "none acknowledged" or "none refused, error " .. word.err
  elseif name == "fork" then
    return "fork " .. thread(word, "parent.") .. " -> " .. thread(word, "child.")
  end
  local info = name .. " " .. thread(word, "")
  if name == "uid" or name == "gid" then
    return info .. " real " .. (word.ruid or word.rgid) .. ", effective " .. (word.euid or word.egid)
  elseif name == "ptrace" then
    return info .. (word["tracer.pid"] == "0" and " let go" or " by " .. thread(word, "tracer."))
  elseif name == "comm" and comm then
    return info .. " " .. comm
  elseif name == "coredump" and word["parent.pid"] then
    return info .. " child of " .. thread(word, "parent.")
  elseif name == "exit" then
    local code = tonumber(word.exit_code)
    local signal, status = code % 128, math.floor(code / 256) % 256
    return info .. (signal == 0 and " status " .. status or " killed by signal " .. signal)
  end
  return info
end

-- A struct proc_event: of November 2005, 24 bytes, or with the timestamp that it has had since 2006.
local function dissect_proc_event(tvb, root, bytes, len, little)
  if len == 4 or len == 8 then
    local tree = root:add(proc, tvb(COOKED + HEAD, len))
    local add = little and tree.add_le or tree.add
    add(tree, p.mcast_op, tvb(COOKED + HEAD, 4))
    if len == 8 then
      add(tree, p.mask, tvb(COOKED + HEAD + 4, 4))
    end
    local op = number_at(bytes, HEAD, 4, little)
    return op == 1 and "listen" or op == 2 and "ignore" or "request " .. string.format("%.0f", op)
  elseif len < 24 then
    return nil, wrong(bytes, HEAD + len, "24 bytes of proc_event")
  elseif len > 24 and len < 32 then
    return nil, wrong(bytes, HEAD + len, "24 bytes of proc_event, or 32 with a timestamp")
  end
  local tree = root:add(proc, tvb(COOKED + HEAD, len))
  local add = little and tree.add_le or tree.add
  add(tree, p.what, tvb(COOKED + HEAD, 4))
  add(tree, p.cpu, tvb(COOKED + HEAD + 4, 4))
  local at = 8
  if len > 24 then
    add(tree, p.timestamp, tvb(COOKED + HEAD + 8, 8))
    at = 16
  end
  local what = number_at(bytes, HEAD, 4, little)
  local event = EVENTS[what]
  if not event then
    -- A kind that is newer than this script.
    return string.format("other 0x%x cpu %.0f", what, number_at(bytes, HEAD + 4, 4, little))
  end
  local word, comm = {}, nil
  for _, name in ipairs(event[2]) do
    -- An exit of 2005 had no parent.
    if at + 4 <= len then
      local range = tvb(COOKED + HEAD + at, 4)
      add(tree, p[name], range)
      local signed = name:find("pid") or name:find("tgid") or name == "exit_signal"
      local number = signed and (little and range:le_int() or range:int()) or number_at(bytes, HEAD + at, 4, little)
      word[name] = string.format("%.0f", number)
    end
    at = at + 4
  end
  if event[1] == "comm" and at + 16 <= len then
    comm = bytes:sub(HEAD + at + 1, HEAD + at + 16):match("^[^%z]*")
    tree:add_packet_field(p.comm, tvb(COOKED + HEAD + at, #comm), ENC_UTF_8 + ENC_STRING)
  end
  return info_of_event(event[1], word, comm) .. " cpu " .. string.format("%.0f", number_at(bytes, HEAD + 4, 4, little))
end

-- The length that nlmsghdr and cn_msg say, or what is wrong: uevent::wire::connector::ConnectorMessage::parse().
local function connector_length(bytes, little)
  local nlmsg_len = number_at(bytes, 0, 4, little)
  local nlmsg_type = number_at(bytes, 4, 2, little)
  local len = number_at(bytes, 32, 2, little)
  if nlmsg_len < HEAD or nlmsg_len > #bytes then
    return nil, wrong_word(0, nlmsg_len, "nlmsg_len from 36 to the end of the datagram")
  elseif nlmsg_type ~= 3 then
    return nil, wrong_word(4, nlmsg_type, "nlmsg_type NLMSG_DONE, 3")
  elseif HEAD + len > nlmsg_len then
    return nil, wrong_word(32, len, "a cn_msg.len that fits nlmsg_len")
  end
  return len
end

local function add_connector_header(tree, tvb, little)
  local add = little and tree.add_le or tree.add
  local at = COOKED
  local fields = {
    { c.nlmsg_len, 4 }, { c.nlmsg_type, 2 }, { c.nlmsg_flags, 2 }, { c.nlmsg_seq, 4 }, { c.nlmsg_pid, 4 },
    { c.idx, 4 }, { c.val, 4 }, { c.seq, 4 }, { c.ack, 4 }, { c.len, 2 }, { c.flags, 2 },
  }
  for _, field in ipairs(fields) do
    add(tree, field[1], tvb(at, field[2]))
    at = at + field[2]
  end
end

local function dissect_connector(tvb, pinfo, root, bytes)
  pinfo.cols.protocol = "cn"
  local tree = root:add(cn, tvb(COOKED))
  local function malformed(why, where)
    tree:add_proto_expert_info(where or ce.malformed, why)
    pinfo.cols.info = "not a connector message: " .. why
  end
  if #bytes < HEAD then
    return malformed(wrong(bytes, #bytes, "a nlmsghdr and a cn_msg, 36 bytes"))
  end
  -- The byte order of the machine is the one in which the length is small.
  local little = number_at(bytes, 0, 4, true) <= number_at(bytes, 0, 4, false)
  add_connector_header(tree, tvb, little)
  local len, why = connector_length(bytes, little)
  if not len then
    return malformed(why)
  end
  local idx, val = number_at(bytes, 16, 4, little), number_at(bytes, 20, 4, little)
  local seq = " seq " .. string.format("%.0f", number_at(bytes, 24, 4, little))
  local info
  if idx == 1 and val == 1 then
    pinfo.cols.protocol = "proc"
    info, why = dissect_proc_event(tvb, root, bytes, len, little)
  elseif idx == 0xfeed and val == 0xbeef then
    pinfo.cols.protocol = "proc"
    info, why = dissect_fork_text(tvb, root:add(proc, tvb(COOKED + HEAD, len)), bytes, len)
  else
    info = string.format("connector message of 0x%x, 0x%x", idx, val)
    tree:add(c.data, tvb(COOKED + HEAD, len))
  end
  if not info then
    return malformed(why, pe.malformed)
  end
  pinfo.cols.info = info .. seq
end

-- Instead of Wireshark's own dissector ------------------------------------------------------------------------------

local NETLINK = (wtap_encaps or wtap).NETLINK
local encapsulations = DissectorTable.get("wtap_encap")
local original = encapsulations:get_dissector(NETLINK)

-- What nlmon writes. The dissector of Wireshark cannot do this part: it wants a nlmsghdr behind it.
local function add_cooked_header(root, tvb)
  local tree = root:add(netlink, tvb(0, COOKED), "Linux netlink (cooked header)")
  tree:add(n.packet_type, tvb(0, 2))
  tree:add(n.hatype, tvb(2, 2))
  tree:add(n.family, tvb(14, 2))
end

function netlink.dissector(tvb, pinfo, root)
  local family = tvb:len() >= COOKED and tvb(14, 2):uint()
  local to_kernel = family and tvb(0, 2):uint() == PACKET_KERNEL
  local ours = family == NETLINK_CONNECTOR or (family == NETLINK_KOBJECT_UEVENT and not to_kernel)
  if not ours then
    return original:call(tvb, pinfo, root)
  end
  add_cooked_header(root, tvb)
  local bytes = tvb:len() > COOKED and tvb:raw(COOKED) or ""
  local dissect = family == NETLINK_CONNECTOR and dissect_connector or dissect_uevent
  dissect(tvb, pinfo, root, bytes)
  return tvb:len()
end

encapsulations:add(NETLINK, netlink)
