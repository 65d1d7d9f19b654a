//! What the stories of this wing have in common: a lane, questions, a kernel that is up, an object, listeners, a law.

use std::rc::Rc;

use fork_model::{System, SystemConfig};
use sim::{Errno, Law, Machine, Question, Rule};
use uevent::af_netlink::{
    Caller, NETLINK_KOBJECT_UEVENT, SockRef, netlink_bind, netlink_create, netlink_proto_init, so_rcvbuf,
};
use uevent::kobject::{KobjId, kobject_init, kobject_set_name};
use uevent::kobject_uevent::{KobjectAction, kobject_uevent, kobject_uevent_init};
use uevent::vsprintf::Arg;
use uevent::{Config, Fix, Fixes};

/// The genuine kernel, or the one with this repair.
pub(super) fn kernel(mended: bool, fix: Fix) -> SystemConfig {
    let fixes = if mended { Fixes::NONE.with(fix) } else { Fixes::NONE };
    SystemConfig { core: Config { fixes, ..Config::default() }, ..SystemConfig::default() }
}

/// Tells a story that needs no more than one lane: its choices are answers and failures, not steps.
pub(super) fn alone<F: Future<Output = ()> + 'static>(sys: &Rc<System>, story: fn(Rc<System>) -> F) {
    sys.m.spawn("kernel", story(sys.clone()));
}

/// For stories whose law speaks of a moment, and is asked then; or whose finding is the machine's own.
pub(super) fn judged_on_the_way(_: &Rc<System>) {}

/// Asks which of these it is. They stand in an order, the harmless ones first: the smallest answer is told first.
pub(super) fn pick<T: Copy>(m: &Machine, what: &'static str, among: &[T]) -> T {
    let n = u32::try_from(among.len()).expect("a few answers");
    among[m.choose(Question::Branch(what), n) as usize]
}

/// Asks for a number from this range, the smallest first.
pub(super) fn number(m: &Machine, what: &'static str, range: std::ops::RangeInclusive<u32>) -> usize {
    let n = range.end() - range.start() + 1;
    (range.start() + m.choose(Question::Branch(what), n)) as usize
}

/// Reports that a law does not hold.
pub(super) fn obey(m: &Machine, law: Law, holds: bool, found: impl FnOnce() -> String) {
    if !holds {
        m.report(Rule::Law(law), found(), None);
    }
}

/// What the story takes for granted: no allocation fails in it, and nothing is asked.
pub(super) async fn granted<T>(m: &Machine, work: impl Future<Output = T>) -> T {
    let later = m.mem.faults(|faults| std::mem::take(&mut faults.explore));
    let done = work.await;
    m.mem.faults(|faults| faults.explore = later);
    done
}

/// The two initcalls of this path: the kernel socket is there.
pub(super) async fn initcalls(sys: &System) {
    granted(&sys.m, async {
        netlink_proto_init(&sys.core).await;
        kobject_uevent_init(&sys.core).await.expect("no failure was asked for");
    })
    .await;
}

/// An object with a name and one reference, its owner's.
pub(super) async fn object(sys: &System, name: &[u8]) -> KobjId {
    let kobj = sys.core.new_kobject();
    kobject_init(&sys.core, kobj);
    granted(&sys.m, kobject_set_name(&sys.core, kobj, b"%s", || vec![Arg::Str(name)])).await.expect("there is memory");
    kobj
}

/// The kernel is up, and there is an object that something may happen to.
pub(super) async fn up_with_an_object(sys: &System) -> KobjId {
    initcalls(sys).await;
    object(sys, b"sda").await
}

/// The object changes: one message. What it answers is for the story to look at.
pub(super) async fn change(sys: &System, kobj: KobjId) -> Result<(), Errno> {
    kobject_uevent(&sys.core, kobj, KobjectAction::Change.number(), None).await
}

/// One to so many listeners, as is asked for; then each for its buffer.
pub(super) async fn listeners(sys: &System, most: u32, rcvbuf: fn(&Machine) -> Option<i32>) -> Vec<SockRef> {
    let mut socks = Vec::new();
    for pid in (500..).take(number(&sys.m, "listeners, from 1", 1..=most)) {
        socks.push(listener(sys, pid, rcvbuf(&sys.m)).await);
    }
    socks
}

/// The default buffer, or the smallest.
pub(super) fn default_or_smallest(m: &Machine) -> Option<i32> {
    pick(m, "its buffer: default, smallest", &[None, Some(0)])
}

/// A listener of uevents, with what it has given to `SO_RCVBUF`; `None`: the default, hundreds of messages.
pub(super) async fn listener(sys: &System, pid: i32, rcvbuf: Option<i32>) -> SockRef {
    let made = async {
        let sock = netlink_create(&sys.core, NETLINK_KOBJECT_UEVENT).await.expect("there is memory");
        netlink_bind(&sys.core, sock, Caller { pid, net_admin: true }, 0, 1).await.expect("each has a pid of its own");
        sock
    };
    let sock = granted(&sys.m, made).await;
    if let Some(rcvbuf) = rcvbuf {
        so_rcvbuf(&sys.core, sock, rcvbuf);
    }
    sock
}

/// Whether the buffer has room for one more message, by the kernel's own measure.
pub(super) fn has_room(sys: &System, sock: SockRef) -> bool {
    sys.core.sock(sock, |s| s.rmem_alloc.get() <= s.rcvbuf)
}

/// How many messages wait there.
pub(super) fn queued(sys: &System, sock: SockRef) -> usize {
    sys.core.sock(sock, |s| s.queue.len())
}
