//! What parsers of today take for a uevent: the rules by which they accept a message, each as a small function.

use std::collections::BTreeMap;

/// The keys of a message that a parser took.
pub type Keys = BTreeMap<String, String>;

/// A parser of today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parser {
    /// systemd-udevd 252: `sd_device_monitor_receive()`, `device_new_from_nulstr()` and `device_verify()`.
    Udev,
    /// The crate kobject-uevent 0.2.0: `UEvent::from_netlink_packet()`. A test holds this against the crate itself.
    KobjectUevent,
    /// The crate nlink 0.33.0: `Uevent::parse()`, as read in its source on 2026-11-24; it is no dependency of this project, as
    /// it brings an asynchronous runtime with it.
    Nlink,
}

/// The actions that udev 252 and kobject-uevent 0.2.0 know: those of `kobject_action` in Linux since 4.14.
pub const ACTIONS: [&str; 8] = ["add", "remove", "change", "move", "online", "offline", "bind", "unbind"];

impl Parser {
    /// All of them.
    pub const ALL: [Parser; 3] = [Parser::Udev, Parser::KobjectUevent, Parser::Nlink];

    /// Its name and version.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Parser::Udev => "udev 252",
            Parser::KobjectUevent => "kobject-uevent 0.2.0",
            Parser::Nlink => "nlink 0.33.0",
        }
    }

    /// Reads a message of the kernel.
    ///
    /// # Errors
    /// Why it is refused, in the parser's own words where it has some.
    pub fn parse(self, message: &[u8]) -> Result<Keys, String> {
        match self {
            Parser::Udev => udev(message),
            Parser::KobjectUevent => kobject_uevent(message),
            Parser::Nlink => nlink(message),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn pair(string: &[u8]) -> Option<(String, String)> {
    let at = string.iter().position(|byte| *byte == b'=')?;
    Some((text(&string[..at]), text(&string[at + 1..])))
}

/// The strings of a message, each ended by a NUL.
fn strings(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.strip_suffix(b"\0").unwrap_or(bytes).split(|byte| *byte == 0)
}

/// At least 32 bytes, a header with a path, then nothing but keys; with `DEVPATH`, `SUBSYSTEM`, a known `ACTION` and a
/// `SEQNUM` that is not 0.
fn udev(message: &[u8]) -> Result<Keys, String> {
    let header = message.iter().position(|byte| *byte == 0).unwrap_or(message.len());
    if message.len() < 32 || header + 1 >= message.len() {
        return Err(format!("Invalid message length ({})", message.len()));
    }
    if !message[..header].windows(2).any(|two| two == b"@/") {
        return Err("Invalid message header".to_owned());
    }
    let mut keys = Keys::new();
    for string in strings(&message[header + 1..]) {
        let (key, value) = pair(string).ok_or_else(|| format!("Not a key-value pair: '{}'", text(string)))?;
        if key == "ACTION" && !ACTIONS.contains(&value.as_str()) {
            return Err(format!("Invalid action '{value}'"));
        }
        keys.insert(key, value);
    }
    let numbered = keys.get("SEQNUM").and_then(|number| number.parse().ok()).is_some_and(|number: u64| number > 0);
    if !numbered || ["DEVPATH", "SUBSYSTEM", "ACTION"].iter().any(|key| !keys.contains_key(*key)) {
        return Err("Device created from nulstr lacks devpath, subsystem, action or seqnum".to_owned());
    }
    Ok(keys)
}

/// Strings without a `=` are passed over; then `ACTION`, `DEVPATH`, `SUBSYSTEM` and `SEQNUM` must be there, in this order.
fn kobject_uevent(message: &[u8]) -> Result<Keys, String> {
    let message = str::from_utf8(message).map_err(|_| "Packet not UTF-8".to_owned())?;
    let mut keys = Keys::new();
    for (key, value) in message.split('\0').filter_map(|string| string.split_once('=')) {
        match key {
            "ACTION" if !ACTIONS.contains(&value) => return Err(format!("Unexpected action: {value}")),
            "SEQNUM" if value.parse::<u64>().is_err() => return Err(format!("Unexpected SEQNUM: {value}")),
            _ => {}
        }
        keys.insert(key.to_owned(), value.to_owned());
    }
    let must = [
        ("ACTION", "action not found"),
        ("DEVPATH", "devpath not found"),
        ("SUBSYSTEM", "subsystem not found"),
        ("SEQNUM", "seq missing"),
    ];
    match must.iter().find(|(key, _)| !keys.contains_key(*key)) {
        Some((_, why)) => Err((*why).to_owned()),
        None => Ok(keys),
    }
}

/// A header with a `@`; strings without a `=` are passed over.
fn nlink(message: &[u8]) -> Result<Keys, String> {
    let header = message.iter().position(|byte| *byte == 0).ok_or("no NUL")?;
    let header_text = str::from_utf8(&message[..header]).map_err(|_| "not UTF-8".to_owned())?;
    if !header_text.contains('@') {
        return Err("no '@' in the header".to_owned());
    }
    Ok(strings(&message[header + 1..]).filter_map(pair).collect())
}
