//! A datagram in words, whatever socket it came from.

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};
use uevent::wire::connector::ConnectorMessage;
use uevent::wire::proc_event::{ProcEvent, What};
use uevent::wire::{Message, Shown, WireError};

/// What a datagram is.
pub enum Decoded<'a> {
    /// A uevent of any layout.
    Uevent(Message<'a>),
    /// A process event, with its number.
    Process(u32, ProcEvent),
    /// Another connector message.
    Connector(ConnectorMessage<'a>),
    /// None of them: what is wrong with it as a uevent.
    Unreadable(&'a [u8], WireError),
}

impl<'a> Decoded<'a> {
    /// Reads a datagram. A uevent never begins as a connector message does, so that no protocol has to be given.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Decoded<'a> {
        match (Message::parse(bytes), ConnectorMessage::parse(bytes)) {
            (Ok(message), _) => Decoded::Uevent(message),
            (_, Ok(message)) => match ProcEvent::parse(&message) {
                Ok(event) => Decoded::Process(message.seq, event),
                Err(_) => Decoded::Connector(message),
            },
            (Err(error), Err(_)) => Decoded::Unreadable(bytes, error),
        }
    }

    /// As a JSON object: `kind`, and what belongs to it. Bytes that are not UTF-8 are escaped, as in text.
    #[must_use]
    pub fn json(&self) -> Value {
        match self {
            Decoded::Uevent(message) => json!({
                "kind": "uevent",
                "layout": format!("{:?}", message.layout()).to_lowercase(),
                "action": text(message.action()),
                "devpath": text(message.devpath()),
                "strings": message.strings().map(text).collect::<Vec<_>>(),
                "bytes": message.bytes().len(),
            }),
            Decoded::Process(seq, event) => {
                let mut value = json!({
                    "kind": "process", "what": event.what.name(), "cpu": event.cpu, "seq": seq, "ns": event.timestamp_ns,
                });
                let Value::Object(ids) = ids(&event.what) else { return value };
                value.as_object_mut().expect("made so").extend(ids);
                value
            }
            Decoded::Connector(message) => json!({
                "kind": "connector", "idx": message.id.0, "val": message.id.1, "seq": message.seq, "ack": message.ack,
                "bytes": message.bytes().len(),
            }),
            Decoded::Unreadable(bytes, error) => json!({
                "kind": "unreadable", "why": error.to_string(), "shown": Shown(bytes).to_string(), "bytes": bytes.len(),
            }),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    Shown(bytes).to_string()
}

/// Who, in the kernel's names of the fields.
fn ids(what: &What) -> Value {
    #[derive(Serialize)]
    struct One {
        pid: i32,
        tgid: i32,
    }
    let one = |ids: &uevent::wire::proc_event::Ids| json!(One { pid: ids.pid, tgid: ids.tgid });
    match what {
        What::Fork(ids) => json!({
            "parent_pid": ids.parent_pid, "parent_tgid": ids.parent_tgid,
            "child_pid": ids.child_pid, "child_tgid": ids.child_tgid,
        }),
        What::Exit { ids, code, signal, parent } => json!({
            "pid": ids.pid, "tgid": ids.tgid, "exit_code": code, "exit_signal": signal,
            "parent_pid": parent.pid, "parent_tgid": parent.tgid,
        }),
        What::Exec(ids) | What::Sid(ids) | What::Coredump(ids, _) | What::Ptrace(ids, None) => one(ids),
        What::Ptrace(ids, Some(tracer)) => {
            json!({ "pid": ids.pid, "tgid": ids.tgid, "tracer_pid": tracer.pid, "tracer_tgid": tracer.tgid })
        }
        What::Uid(ids, real, effective) | What::Gid(ids, real, effective) => {
            json!({ "pid": ids.pid, "tgid": ids.tgid, "real": real, "effective": effective })
        }
        What::Comm(ids, comm) => {
            let end = comm.iter().position(|&byte| byte == 0).unwrap_or(comm.len());
            json!({ "pid": ids.pid, "tgid": ids.tgid, "comm": text(&comm[..end]) })
        }
        What::Ack(error) => json!({ "error": error }),
        What::Other(kind) => json!({ "bits": kind }),
    }
}

impl fmt::Display for Decoded<'_> {
    /// One line: `add@/devices/x SUBSYSTEM=mem SEQNUM=7`, `cpu 1 seq 7 fork 100 -> 101`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Decoded::Uevent(message) => {
                write!(f, "{}@{}", Shown(message.action()), Shown(message.devpath()))?;
                let said = |string: &&[u8]| !string.starts_with(b"ACTION=") && !string.starts_with(b"DEVPATH=");
                message.strings().filter(said).try_for_each(|string| write!(f, " {}", Shown(string)))
            }
            Decoded::Process(seq, event) => write!(f, "cpu {} seq {seq} {}", event.cpu.cast_signed(), event.what),
            Decoded::Connector(message) => {
                write!(
                    f,
                    "connector {:#x}.{:#x} seq {} {}",
                    message.id.0,
                    message.id.1,
                    message.seq,
                    Shown(message.data)
                )
            }
            Decoded::Unreadable(bytes, error) => write!(f, "unreadable ({error}): {}", Shown(bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_as_a_line() {
        let line = |bytes: &[u8]| Decoded::read(bytes).to_string();
        assert_eq!(line(b"add@/x\0ACTION=add\0DEVPATH=/x\0SEQNUM=7\0"), "add@/x SEQNUM=7");
        assert_eq!(line(b"fork@/fork_kobj\x00100\x00101\0"), "fork@/fork_kobj 100 101");
        let mut bytes = Vec::new();
        uevent::wire::connector::emit_fork_ascii(&mut bytes, 7, 100, 101);
        assert_eq!(line(&bytes), r"connector 0xfeed.0xbeef seq 7 100 101\0");
        assert_eq!(line(b"\xff"), r"unreadable (at byte 1: found end of message, expected '@' after the action): \xff");
    }

    #[test]
    fn every_kind_is_an_object() {
        let mut bytes = Vec::new();
        let what = What::Exec(uevent::wire::proc_event::Ids { pid: 5, tgid: 5 });
        uevent::wire::proc_event::emit_proc_event(&mut bytes, 3, 0, &ProcEvent { cpu: 1, timestamp_ns: 9, what });
        let json = Decoded::read(&bytes).json().to_string();
        assert_eq!(json, r#"{"cpu":1,"kind":"process","ns":9,"pid":5,"seq":3,"tgid":5,"what":"exec"}"#);
    }
}
