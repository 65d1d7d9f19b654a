//! P3 on the live kernel: the word "I listen" outlives who said it. And what else is said to that count.

use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use uevent::netlink::{NetlinkSocket, Protocol, To};
use uevent::source::{Arrival, UeventSource, Wait};
use uevent::wire::connector::{CN_PROC, ConnectorMessage, emit};
use uevent::wire::proc_event::{ProcEvent, What};

use super::forks::{able, alone};
use super::kernel::is_of_the_era;
use super::tools::skip;

const LISTEN: u32 = 1;
const IGNORE: u32 = 2;
/// No `enum proc_cn_mcast_op`: answered with EINVAL, and remembered.
const NO_WORD: u32 = 77;
/// Longer than a fork takes to be told of.
const SOON: Wait = Wait::AtMost(Duration::from_millis(300));
/// Other programs may listen, too; so often a silent moment is waited for.
const TRIES: usize = 10;
/// So many listeners may have died on this machine.
const MOST_DEAD: usize = 1000;

fn open() -> NetlinkSocket {
    let socket = NetlinkSocket::open(Protocol::Connector, CN_PROC.0).expect("it could be opened before");
    socket.set_rcvbuf(16 << 20).expect("root may");
    socket
}

fn say(socket: &NetlinkSocket, word: u32) {
    let mut bytes = Vec::new();
    emit(&mut bytes, CN_PROC, 0, 0, &word.to_le_bytes());
    socket.send(&bytes, To::Kernel).expect("sent");
}

/// Whether a socket hears of a process that is made now.
fn hears_of_a_fork(socket: &mut NetlinkSocket) -> bool {
    let mut child = Command::new("/bin/true").spawn().expect("a process");
    let pid = child.id().cast_signed();
    child.wait().expect("it ends");
    loop {
        match socket.receive(SOON).expect("a socket") {
            Arrival::Message(datagram) => {
                let message = ConnectorMessage::parse(datagram.bytes).expect("of the connector");
                let event = ProcEvent::parse(&message).expect("a process event");
                if matches!(event.what, What::Fork(ids) if ids.child_pid == pid) {
                    return true;
                }
            }
            Arrival::Nothing | Arrival::End => return false,
            Arrival::Lost(_) | Arrival::Refused(..) => {}
        }
    }
}

/// Whether a bystander hears, who has never asked: before anybody speaks; after a listener has died without a word; after
/// another socket has said IGNORE; after one has said a word that is none, and then IGNORE. Last, whether one who says LISTEN hears
/// after a socket has said IGNORE without having listened.
pub type Heard = [bool; 5];

/// What a kernel from 6.6 on answers, as far as we know it.
pub const EXPECTED: Heard = [false, true, true, false, true];

/// Takes one off the count. Since 6.6 a socket's IGNORE counts if its last word was another, and a word that is none is
/// one; without this the kernel would tell of every process until its end, when a listener has died.
fn subtract() {
    let socket = open();
    say(&socket, NO_WORD);
    say(&socket, IGNORE);
}

/// Whether a socket is open that process events go to.
fn somebody_is_there() -> bool {
    let sockets = std::fs::read_to_string("/proc/net/netlink").expect("/proc is mounted");
    sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).any(|words| {
        let groups = words.get(3).and_then(|groups| u32::from_str_radix(groups, 16).ok()).unwrap_or(0);
        words.get(1) == Some(&"11") && groups & CN_PROC.0 != 0
    })
}

/// Listeners of other programs that died without IGNORE are still counted: takes them off, as long as nobody is there who
/// may have been counted rightly.
fn forget_the_dead() {
    for _ in 0..MOST_DEAD {
        let before = somebody_is_there();
        let heard = hears_of_a_fork(&mut open());
        if before || !heard || somebody_is_there() {
            return;
        }
        subtract();
    }
}

fn measure() -> Heard {
    forget_the_dead();
    let mut bystander = open();
    let before = hears_of_a_fork(&mut bystander);
    let dies = open();
    say(&dies, LISTEN);
    drop(dies);
    let after = hears_of_a_fork(&mut bystander);
    if !after {
        // The count was below 0, and is not any more.
        return [before, after, false, false, false];
    }
    say(&open(), IGNORE);
    let ignored = hears_of_a_fork(&mut bystander);
    subtract();
    let repaired = hears_of_a_fork(&mut bystander);
    say(&open(), IGNORE);
    let mut listener = open();
    say(&listener, LISTEN);
    let heard = hears_of_a_fork(&mut listener);
    say(&listener, IGNORE);
    [before, after, ignored, repaired, heard]
}

/// What this kernel answers, once for all tests; none where it cannot be asked, or where somebody else listens all the
/// time.
pub fn measured() -> Option<Heard> {
    static MEASURED: OnceLock<Option<Heard>> = OnceLock::new();
    *MEASURED.get_or_init(|| {
        let _alone = alone();
        let old = !is_of_the_era();
        if old && !skip("before Linux 6.18 the count could not be put right again") || !able() {
            return None;
        }
        // Somebody else may listen or die between two steps. The last try is taken as it is.
        let silent = (0..TRIES).map(|_| measure()).find(|heard| *heard == EXPECTED);
        let silent = silent.or_else(|| Some(measure()).filter(|heard| !heard[0]));
        if silent.is_none() {
            skip("somebody else listens to process events all the time");
        }
        silent
    })
}

#[test]
fn process_events_go_on_for_one_who_never_asked_after_the_one_who_asked_died_without_a_word() {
    if let Some([before, after, ..]) = measured() {
        assert_eq!([before, after], [false, true], "P3 holds no more");
    }
}

#[test]
fn nobody_s_ignore_ends_what_a_dead_listener_began_unless_another_word_came_before_it() {
    if let Some([_, _, ignored, repaired, _]) = measured() {
        assert_eq!([ignored, repaired], [true, false]);
    }
}

#[test]
fn an_ignore_of_one_who_never_listened_does_not_make_the_next_listener_deaf() {
    if let Some(heard) = measured() {
        assert_eq!(heard, EXPECTED);
    }
}
