//! A simulated socket for a consumer outside of the simulation.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use sim::lock::WaitQueue;
use sim::{Calm, Chooser, Errno, Seeded};
use uevent::af_netlink::{SockRef, msg, netlink_recvmsg};
use uevent::source::{Arrival, Datagram, Loss, Sender, Trust, UeventSource, Wait};

use crate::input::InputError;
use crate::lab::program::Play;
use crate::lab::run::faults_of_file;
use crate::lab::spec::{Order, Spec};
use crate::lab::world::World;
use crate::scenario_file::{Pace, ScenarioFile};

/// The socket of a scenario's first listener, read by whoever holds this: [`UeventSource`] on the simulated kernel.
///
/// The consumer is one more lane. It runs while it waits in [`receive`](UeventSource::receive), and whether the forking
/// tasks or it go on is chosen like everything else: calmly, the tasks run until they block, so that a small buffer
/// overruns; from a seed, anybody may. The same seed gives the same arrivals.
///
/// ```
/// use forklab::lab::source::Simulated;
/// use uevent::source::{Arrival, UeventSource, Wait};
///
/// let scenario = r#"
///     name = "three"
///     [[tasks]]
///     name = "p"
///     does = ["fork c", "fork c", "fork c"]
///     [[tasks]]
///     name = "c"
///     does = ["exit 0"]
///     [[listeners]]
///     name = "consumer"
///     groups = 1
/// "#;
/// let mut source = Simulated::new(scenario, Some(7))?;
/// let mut forks = 0;
/// while let Arrival::Message(datagram) = source.receive(Wait::Block)? {
///     assert!(datagram.bytes.starts_with(b"fork@/fork_kobj\0"));
///     forks += 1;
/// }
/// assert_eq!(forks, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Simulated {
    world: Rc<World>,
    desk: Rc<Desk>,
    trust: Trust,
    bytes: Vec<u8>,
}

/// Where the consumer's lane and the consumer meet.
#[derive(Default)]
struct Desk {
    /// What the consumer asks for: to wait, or not to.
    asked: Cell<Option<Wait>>,
    wait: WaitQueue,
    answer: RefCell<Option<Answer>>,
}

type Answer = Result<(Vec<u8>, Head), Errno>;

#[derive(Clone, Copy)]
struct Head {
    len: usize,
    from_port: i32,
    groups: u32,
}

/// Bytes that the consumer offers to a receive.
const ROOM: usize = 8192;

impl Simulated {
    /// Boots the kernel of a scenario (TOML text) and binds its first listener for the consumer; the others read for
    /// themselves. Steps are drawn from the seed; without one, whoever runs goes on.
    ///
    /// # Errors
    /// [`InputError`]: the scenario cannot be read, has no listener, or its machine is too small.
    pub fn new(scenario: &str, seed: Option<u64>) -> Result<Simulated, InputError> {
        let file = "<scenario>";
        let order = seed.map_or(Order::Calm, Order::Seed);
        Simulated::of(file, crate::lab::spec::parse_scenario(file, scenario)?, &order)
    }

    fn of(file: &str, mut scenario: ScenarioFile, order: &Order) -> Result<Simulated, InputError> {
        let Some(first) = scenario.listeners.first_mut() else {
            return Err(InputError::new(file, "no [[listeners]]", "one, whose socket the consumer reads"));
        };
        // No lane of the lab's reads it.
        first.pace = Pace::DrainAtEnd;
        let spec = Spec::new(crate::lab::spec::Source::BuiltIn(file.into()));
        let setup = spec.setup(Some(&scenario));
        let world = World::new(&setup).map_err(|no_room| {
            InputError::new(
                file,
                no_room.to_string(),
                "a machine with room for them: see pid_max, last_pid and mempages",
            )
        })?;
        let world = Rc::new(world);
        let Some(sock) = world.listeners[0].sock.get() else {
            return Err(InputError::new(file, "a first listener without a socket", "one that the consumer can read"));
        };
        let chooser = match order {
            Order::Seed(seed) => Seeded::new(*seed).lent(),
            _ => Calm.lent(),
        };
        world.begin(chooser);
        world.sys.m.mem.faults(|faults| faults_of_file(faults, Some(&scenario)));
        let desk = Rc::new(Desk::default());
        world.sys.m.spawn("consumer", serve(world.clone(), desk.clone(), sock));
        Play::new(&world, scenario).start();
        Ok(Simulated { world, desk, trust: Trust::Kernel, bytes: Vec::new() })
    }

    /// The same source, believing these senders.
    #[must_use]
    pub fn trusting(mut self, trust: Trust) -> Simulated {
        self.trust = trust;
        self
    }

    /// The kernel that sends.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }
}

/// The consumer's lane: makes the system calls that it asks for.
async fn serve(world: Rc<World>, desk: Rc<Desk>, sock: SockRef) {
    let (m, core) = (&world.sys.m, &world.sys.core);
    loop {
        desk.wait.wait_event(m, "the consumer", true, || desk.asked.get().is_some()).await;
        let flags = if desk.asked.take() == Some(Wait::Block) { 0 } else { msg::DONTWAIT };
        let mut bytes = Vec::new();
        let got = netlink_recvmsg(core, sock, &mut bytes, ROOM, flags).await;
        let head = |got: uevent::af_netlink::Received| {
            // Of a message that was cut 2.6.11 does not tell the length: it was at least a byte longer.
            let len = if got.truncated { ROOM + 1 } else { got.len };
            Head { len, from_port: got.from_pid, groups: got.from_groups }
        };
        *desk.answer.borrow_mut() = Some(got.map(|got| (bytes, head(got))));
    }
}

impl UeventSource for Simulated {
    /// Lets the simulated machine run until the consumer's system call returns.
    ///
    /// [`Arrival::End`] when nobody can run any more and nothing is queued. There is no clock: [`Wait::AtMost`] is
    /// [`Wait::No`].
    ///
    /// # Errors
    /// What the simulated call returns, other than an overrun.
    fn receive(&mut self, wait: Wait) -> io::Result<Arrival<'_>> {
        let m = &self.world.sys.m;
        self.desk.asked.set(Some(wait));
        self.desk.wait.wake_up(m);
        m.settle_until(|| self.desk.answer.borrow().is_some());
        let Some(answer) = self.desk.answer.take() else { return Ok(Arrival::End) };
        let head = match answer {
            Ok((bytes, head)) => {
                self.bytes = bytes;
                head
            }
            Err(Errno::NoBufs) => return Ok(Arrival::Lost(Loss::Overrun)),
            Err(Errno::Again) => return Ok(Arrival::Nothing),
            Err(errno) => return Err(io::Error::other(errno.to_string())),
        };
        if head.len > ROOM {
            return Ok(Arrival::Lost(Loss::Truncated { kept: ROOM, of: head.len }));
        }
        let port = head.from_port.cast_unsigned();
        let sender = if port == 0 { Sender::KERNEL } else { Sender { port, credentials: None } };
        let datagram = Datagram { bytes: &self.bytes, sender, group: head.groups };
        Ok(match self.trust.judge(sender) {
            Ok(()) => Arrival::Message(datagram),
            Err(refusal) => Arrival::Refused(datagram, refusal),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Eight forks at once, and a buffer that holds a few messages.
    const BURST: &str = r#"
        name = "burst"
        [machine]
        cpus = 4
        [[tasks]]
        name = "p"
        does = ["fork c", "fork c", "fork c", "fork c", "fork c", "fork c", "fork c", "fork c"]
        [[tasks]]
        name = "c"
        does = ["exit 0"]
        [[listeners]]
        name = "consumer"
        groups = 1
        rcvbuf = 1200
    "#;

    fn arrivals(scenario: &str, seed: Option<u64>, wait: Wait) -> Vec<String> {
        let mut source = Simulated::new(scenario, seed).expect("a good scenario");
        let mut seen = Vec::new();
        loop {
            match source.receive(wait).expect("reads") {
                Arrival::End => return seen,
                Arrival::Message(datagram) => seen.push(uevent::wire::Shown(datagram.bytes).to_string()),
                Arrival::Lost(loss) => seen.push(format!("{loss:?}")),
                Arrival::Nothing => seen.push("nothing".into()),
                other @ Arrival::Refused(..) => panic!("{other:?}"),
            }
            if seen.len() > 100 {
                return seen;
            }
        }
    }

    #[test]
    fn tasks_that_run_until_they_block_overrun_a_small_buffer() {
        let seen = arrivals(BURST, None, Wait::Block);
        assert!(seen.contains(&"Overrun".to_owned()), "{seen:?}");
        assert!(seen.len() < 9, "{seen:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_arrivals_and_a_reader_with_a_cpu_of_its_own_keeps_up() {
        for seed in 0..30 {
            let seen = arrivals(BURST, Some(seed), Wait::Block);
            assert_eq!(seen, arrivals(BURST, Some(seed), Wait::Block));
            assert_eq!(seen.len(), 8, "{seen:?}");
        }
    }

    #[test]
    fn whoever_does_not_wait_may_find_nothing_and_goes_on() {
        let seen = arrivals(BURST, Some(1), Wait::No);
        assert!(seen.iter().any(|seen| seen.starts_with("fork@")), "{seen:?}");
    }

    #[test]
    fn a_scenario_without_listeners_is_refused() {
        let error = Simulated::new("name = \"x\"\n[[tasks]]\nname = \"p\"\n", None).err().expect("refused");
        assert!(error.to_string().contains("[[listeners]]"), "{error}");
    }
}
