//! What the message is made of.

use uevent::wire::connector::ForkIds;

use super::{Said, Seq};

axis! {
    /// The bytes of a message.
    Format own OwnFormat;
    /// `fork@/fork_kobj\0PPID\0PID\0`, two numbers without keys: the patch as posted (1108109504.30559.43). No room for a number.
    #[default]
    Bare "bare";
    /// The same header, then `ACTION=`, `DEVPATH=`, `SUBSYSTEM=`, `PPID=`, `PID=`, `SEQNUM=` (and `CPU=`), made as
    /// `kobject_hotplug()` makes them: 32 slots and 1,024 bytes of environment. What Greg KH's review asks a uevent to be
    /// (2005-02-11, 20050211191112.GB19139@kroah.com). Without a sequence there is no `SEQNUM=`.
    Keys "keys";
    /// `nlmsghdr`, `cn_msg` and `"PPID PID\0"` over `NETLINK_CONNECTOR`: the fork connector, version 1 (Thouvenin, from
    /// 2005-02-17 on, after Greg KH's 20050214174111.GB6697@kroah.com). One skb, `GFP_ATOMIC`; the number is `cn_msg.seq`.
    ConnectorAscii "connector-ascii";
    /// `nlmsghdr`, `cn_msg` and `struct proc_event` over `NETLINK_CONNECTOR`: the process events connector (Helsley,
    /// 2005-09-28, 1127961841.12346.2344.camel@stark; mainline 2005-11-07). One skb, `GFP_KERNEL`; thread and process ids.
    ConnectorStruct "connector-struct";
    { later
        /// The patch without its two slots that say "Not used", and without the parent: one string, which `send_uevent()`
        /// skips, and walks on from behind the NULL (P9). Nobody proposed it; it shows what the two slots are for.
        OneSlot "one-slot";
        /// As `keys`, with `change` for an action: a word that the parsers of today know (P10). Nobody proposed it.
        KeysChange "keys-change";
        /// `connector-ascii` with a reference to each message that nobody puts: seeded after Kaigai's report of a machine
        /// that stood still at the 367th fork (2005-03-01, 42247051.7070303@ak.jp.nec.com, P27).
        ConnectorLeak "connector-leak";
    }
}

/// Through which kernel socket a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// `NETLINK_KOBJECT_UEVENT`.
    KobjectUevent,
    /// `NETLINK_CONNECTOR`.
    Connector,
}

/// A format of the user's own: how an event is written, and how a listener reads it.
///
/// The model allocates one skb of exactly the message with `GFP_KERNEL` and broadcasts it to group 1.
pub trait OwnFormat: Sync {
    /// Its name, for reports.
    fn name(&self) -> &'static str;

    /// Whether a number fits into the message. Without room only `sequence=none` goes with it.
    fn has_room_for_a_number(&self) -> bool {
        false
    }

    /// Appends the message.
    fn write(&self, ids: &ForkIds, seq: Option<Seq>, out: &mut Vec<u8>);

    /// Reads a message back; `None` if it is none.
    fn read(&self, message: &[u8]) -> Option<Said>;
}

impl Format {
    /// Whether a number fits into the message.
    #[must_use]
    pub fn has_room_for_a_number(self) -> bool {
        match self {
            Format::Bare | Format::OneSlot => false,
            Format::Keys
            | Format::KeysChange
            | Format::ConnectorAscii
            | Format::ConnectorStruct
            | Format::ConnectorLeak => true,
            Format::Own(own) => own.has_room_for_a_number(),
        }
    }

    /// Through which kernel socket it goes.
    #[must_use]
    pub fn over(self) -> Over {
        match self {
            Format::Bare | Format::Keys | Format::OneSlot | Format::KeysChange | Format::Own(_) => Over::KobjectUevent,
            Format::ConnectorAscii | Format::ConnectorStruct | Format::ConnectorLeak => Over::Connector,
        }
    }
}
