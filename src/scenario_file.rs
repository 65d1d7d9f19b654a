//! The scenario file: a small experiment in TOML, as plain data. Nothing is simulated here.
//!
//! ```toml
//! name = "autoreap"                # lower-case letters, digits and hyphens
//!
//! [machine]                        # each key may be left out; these are the defaults
//! cpus = 2                         # 1 to 64
//! preempt = false                  # CONFIG_PREEMPT
//! smp_cache_bytes = 64             # bytes: 32, 64 or 128
//! mempages = 131072                # pages of 4 KiB; fixes max_threads as fork_init() does
//! pid_max = 32768                  # 301 to 4194304
//! last_pid = 99                    # below pid_max; the first fork gets the next one
//! boot = "done"                    # or "early": there is no netlink socket yet
//! era = "2.6.11"                   # or "6.18": how receive buffers are accounted for
//! config = { hotplug = true, kobject_uevent = true, uevents_stay = false } # the last: in their network namespace, as since 2018
//!
//! [design]                         # of the notification; each key as posted if left out
//! hook = "end"                     # where it stands: end-saved-pid, after-wake, locked, before-wake
//! gate = "always"                  # who is asked first: socket, on-off, counter, has-listeners, counter-reset
//! sequence = "none"                # how events are numbered: unlocked, locked, per-cpu
//! format = "bare"                  # the bytes: keys, connector-ascii, connector-struct; and one-slot, keys-change,
//!                                  # connector-leak, which nobody proposed
//! delivery = "broadcast"           # how they are sent: deferred, signal, hotplug, batched
//!
//! [[faults]]                       # any number: allocations that fail
//! site = "alloc_skb.data"          # left out: any site
//! nth = 1                          # from the nth call on, counted from 1
//! times = 1                        # that many calls, or "forever"
//!
//! [failslab]                       # fault injection at random, in the kernel's words; left out: none
//! probability = 0                  # per cent
//! interval = 1                     # of the calls, every interval-th may fail
//! times = 1                        # at most that many, -1 is no limit
//! space = 0                        # bytes that may be allocated before the first failure
//! ignore-gfp-wait = true           # spare allocations that may sleep
//! seed = 0                         # of the random numbers
//!
//! [[listeners]]                    # any number
//! name = "elsa"                    # lower-case letters, like a task's; no name twice
//! groups = 1                       # bit mask of multicast groups, not 0; must be given
//! rcvbuf = 124928                  # bytes, sk_rcvbuf as it is, not doubled; left out: that of the era, 212992 in 6.18
//! pace = "eager"                   # or "drain-at-end", or { every = 10 }: reads after each tenth event
//! control = ["listen"]             # what it says of itself, see Control; left out: "listen" if the gate needs it;
//!                                  # or ["listen", "ignore after 2", "filter after 3", "unfilter after 4", "die after 5"]
//! net_admin = true                 # whether it has CAP_NET_ADMIN
//! trusts = "anybody"               # or "kernel": it drops what another process sent
//! netns = 0                        # its network namespace; 0 is that of the kernel's own sockets
//!
//! [[tasks]]                        # at least one, at most 256
//! name = "p"                       # the lane in a replay line
//! sigchld = "ignore"               # or "default"; an ignored one reaps children by itself
//! does = ["fork c", "wait", "exit 0"]
//!
//! [[tasks]]
//! name = "c"
//! does = ["exit 0"]
//! ```
//!
//! A task that some other task forks is that child's *program*: it runs once for each fork. All others start at boot as
//! children of init. A task whose list does not end in `exit` stays asleep until the run ends. [`Action`] lists what a
//! task can do.

mod action;
mod check;
mod control;
mod cut;
mod values;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use crate::input::InputError;
use uevent::Era;
use values::{cache_line, era, lane_name, scenario_name, some_within, within};

pub use action::Action;
pub use control::{Control, Word};
pub use cut::Cut;

const A_SCENARIO: &str = "a scenario (TOML)";
/// Who takes what was given here by mistake.
const A_RECORDING: &str = "run --workload takes a recorded workload";
/// With this a gzip file begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Bytes of a scenario file: beyond this it is something else, such as a recording.
const LONGEST_FILE: u64 = 1 << 20;

/// The names of things that a scenario may speak of, but that are defined elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Hooks of `[design]`.
    pub hooks: &'a [&'a str],
    /// Gates of `[design]`.
    pub gates: &'a [&'a str],
    /// Sequences of `[design]`.
    pub sequences: &'a [&'a str],
    /// Formats of `[design]`.
    pub formats: &'a [&'a str],
    /// Deliveries of `[design]`.
    pub deliveries: &'a [&'a str],
    /// Why a design cannot be built, if it cannot.
    pub impossible: fn(&Design) -> Option<String>,
    /// Allocation sites of `[[faults]]`.
    pub sites: &'a [&'a str],
}

/// One scenario. The module's page shows every key with its unit and default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioFile {
    /// Lower-case letters, digits and hyphens; the first word of a replay line.
    #[serde(deserialize_with = "scenario_name")]
    pub name: String,
    /// The machine on which it runs.
    #[serde(default)]
    pub machine: Machine,
    /// The notification under test.
    #[serde(default)]
    pub design: Design,
    /// Allocations that fail.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// Allocations that fail at random.
    pub failslab: Option<Failslab>,
    /// Who listens, in the order in which they bind.
    #[serde(default)]
    pub listeners: Vec<Listener>,
    /// Tasks and programs, see [`boots`](Self::boots).
    pub tasks: Vec<Task>,
}

/// `[machine]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Machine {
    /// Number of CPUs, 1 to 64.
    #[serde(deserialize_with = "within::<1, 64, _, _>")]
    pub cpus: u32,
    /// `CONFIG_PREEMPT`.
    pub preempt: bool,
    /// `SMP_CACHE_BYTES`: 32, 64 or 128.
    #[serde(deserialize_with = "cache_line")]
    pub smp_cache_bytes: u32,
    /// Memory in pages of 4 KiB, from which `fork_init()` computes `max_threads`.
    #[serde(deserialize_with = "within::<0, 0x100_0000, _, _>")]
    pub mempages: u32,
    /// The sysctl, 301 to 4194304.
    #[serde(deserialize_with = "within::<301, 4_194_304, _, _>")]
    pub pid_max: i32,
    /// The pid given last, below `pid_max`.
    #[serde(deserialize_with = "within::<0, 4_194_303, _, _>")]
    pub last_pid: i32,
    /// How far the kernel has booted.
    pub boot: Boot,
    /// Whose accounting of receive buffers it has.
    #[serde(deserialize_with = "era")]
    pub era: Era,
    /// Kernel configuration.
    pub config: Config,
}

/// How far the kernel has booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Boot {
    /// All initcalls ran.
    Done,
    /// `kobject_uevent_init()` has not run: there is no netlink socket.
    Early,
}

/// Kernel configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `CONFIG_HOTPLUG`.
    pub hotplug: bool,
    /// `CONFIG_KOBJECT_UEVENT`.
    pub kobject_uevent: bool,
    /// No option: uevents stay in the network namespace of their device, as since 2018.
    pub uevents_stay: bool,
}

/// `[design]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Design {
    /// One of [`Known::hooks`].
    pub hook: String,
    /// One of [`Known::gates`].
    pub gate: String,
    /// One of [`Known::sequences`].
    pub sequence: String,
    /// One of [`Known::formats`].
    pub format: String,
    /// One of [`Known::deliveries`].
    pub delivery: String,
}

/// One of `[[faults]]`: from the `nth` call on, `times` allocations at `site` fail.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// One of [`Known::sites`]; none is any site.
    pub site: Option<String>,
    /// Counted from 1.
    #[serde(deserialize_with = "within::<1, { u32::MAX as i64 }, _, _>")]
    pub nth: u32,
    /// How many calls in a row.
    pub times: Times,
}

/// How many allocations in a row fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// That many, at least one.
    Count(u32),
    /// All that come.
    Forever,
}

/// `[failslab]`, with the kernel's words and defaults (`Documentation/fault-injection`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Failslab {
    /// Per cent.
    #[serde(deserialize_with = "within::<0, 100, _, _>")]
    pub probability: u32,
    /// Of the calls, every `interval`-th may fail.
    #[serde(deserialize_with = "within::<1, { u32::MAX as i64 }, _, _>")]
    pub interval: u32,
    /// At most that many failures; -1 is no limit.
    #[serde(deserialize_with = "within::<-1, { i32::MAX as i64 }, _, _>")]
    pub times: i32,
    /// Bytes that may be allocated before the first failure.
    #[serde(deserialize_with = "within::<0, { u32::MAX as i64 }, _, _>")]
    pub space: u32,
    /// Spare allocations that may sleep.
    pub ignore_gfp_wait: bool,
    /// Of the random numbers.
    #[serde(deserialize_with = "within::<0, { i64::MAX }, _, _>")]
    pub seed: u64,
}

/// One of `[[listeners]]`: a socket of `NETLINK_KOBJECT_UEVENT`, of `NETLINK_CONNECTOR`, or a process that gets signals, as
/// the design has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Lower-case letters.
    #[serde(deserialize_with = "lane_name")]
    pub name: String,
    /// Bit mask of multicast groups, not 0.
    #[serde(deserialize_with = "within::<1, { u32::MAX as i64 }, _, _>")]
    pub groups: u32,
    /// `sk_rcvbuf` in bytes, as it is; `None`: what a socket of the era begins with.
    #[serde(default, deserialize_with = "some_within::<0, { i32::MAX as i64 }, _, _>")]
    pub rcvbuf: Option<u32>,
    /// When it reads.
    #[serde(default)]
    pub pace: Pace,
    /// What it says of itself, and when; `None`: `listen` before the run, if the gate of the design needs it.
    #[serde(default)]
    pub control: Option<Vec<Control>>,
    /// Whether it has `CAP_NET_ADMIN`.
    #[serde(default = "yes")]
    pub net_admin: bool,
    /// Whom it believes.
    #[serde(default)]
    pub trusts: Trusts,
    /// Its network namespace; 0 is that of the kernel's own sockets.
    #[serde(default, deserialize_with = "within::<0, 255, _, _>")]
    pub netns: u32,
}

impl Default for Listener {
    /// One of group 1 that has no name yet, with all other keys left out.
    fn default() -> Self {
        Self {
            name: String::new(),
            groups: 1,
            rcvbuf: None,
            pace: Pace::default(),
            control: None,
            net_admin: true,
            trusts: Trusts::default(),
            netns: 0,
        }
    }
}

/// Whom a listener believes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trusts {
    /// Whoever sends it something: udevd until CVE-2009-1185.
    #[default]
    Anybody,
    /// Port id 0 alone.
    Kernel,
}

fn yes() -> bool {
    true
}

/// When a listener reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pace {
    /// As soon as something is there.
    #[default]
    Eager,
    /// Not before all tasks are done.
    DrainAtEnd,
    /// When this many events have been sent, all that is there.
    #[serde(deserialize_with = "within::<1, { u32::MAX as i64 }, _, _>")]
    Every(u32),
}

/// One of `[[tasks]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Lower-case letters.
    #[serde(deserialize_with = "lane_name")]
    pub name: String,
    /// What it does with the signal that a child's exit sends.
    #[serde(default)]
    pub sigchld: SigChld,
    /// What it does, one after the other.
    #[serde(default)]
    pub does: Vec<Action>,
}

/// What a task does with `SIGCHLD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SigChld {
    /// Children stay zombies until it waits for them.
    #[default]
    Default,
    /// `SIG_IGN`: children reap themselves.
    Ignore,
}

impl ScenarioFile {
    /// Reads and checks a scenario file.
    ///
    /// # Errors
    /// An [`InputError`] with the first mistake: of the file (missing, a directory, not text), of the TOML, of a key or
    /// value, or of what they say together (a fork of a program that is not there, a program that forks itself).
    pub fn read(path: &Path, known: &Known<'_>) -> Result<Self, InputError> {
        let file = path.display().to_string();
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|opened| opened.take(LONGEST_FILE + 1).read_to_end(&mut bytes))
            .map_err(|error| InputError::io(&file, &error, A_SCENARIO))?;
        if bytes.len() as u64 > LONGEST_FILE {
            return Err(InputError::new(file, format!("more than {LONGEST_FILE} bytes"), A_SCENARIO));
        }
        if bytes.starts_with(&GZIP) {
            return Err(InputError::new(file, "gzip data, as of a recording", format!("{A_SCENARIO}; {A_RECORDING}")));
        }
        let text = str::from_utf8(&bytes).map_err(|error| InputError::utf8(&file, 1, &bytes, &error))?;
        Self::parse(&file, text, known)
    }

    /// Checks the text of a scenario; `file` is its name in errors.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub fn parse(file: &str, text: &str, known: &Known<'_>) -> Result<Self, InputError> {
        let scenario: Self = toml::from_str(text).map_err(|error| InputError::toml(file, text, &error, A_SCENARIO))?;
        scenario
            .check(known)
            .map_err(|wrong| InputError::new(file, wrong.found, wrong.expected).at_toml(text, &wrong.place))?;
        Ok(scenario)
    }

    /// The tasks that start at boot, as children of init: those that no task forks.
    pub fn boots(&self) -> impl Iterator<Item = &Task> {
        let is_forked = |task: &Task| self.tasks.iter().flat_map(Task::forks).any(|(_, name, _)| name == task.name);
        self.tasks.iter().filter(move |task| !is_forked(task))
    }

    /// The task or program of that name.
    pub fn task(&self, name: &str) -> Option<&Task> {
        self.tasks.iter().find(|task| task.name == name)
    }
}

impl Task {
    /// Which of its actions fork, what, and how often.
    fn forks(&self) -> impl Iterator<Item = (usize, &str, u32)> {
        self.does.iter().enumerate().filter_map(|(j, action)| match action {
            Action::Fork { program, times, .. } => Some((j, program.as_str(), *times)),
            _ => None,
        })
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            cpus: 2,
            preempt: false,
            smp_cache_bytes: 64,
            mempages: 131_072,
            pid_max: 32_768,
            last_pid: 99,
            boot: Boot::Done,
            era: Era::default(),
            config: Config::default(),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { hotplug: true, kobject_uevent: true, uevents_stay: false }
    }
}

impl Default for Design {
    fn default() -> Self {
        let [hook, gate, sequence, format, delivery] =
            ["end", "always", "none", "bare", "broadcast"].map(str::to_owned);
        Self { hook, gate, sequence, format, delivery }
    }
}

impl Default for Fault {
    fn default() -> Self {
        Self { site: None, nth: 1, times: Times::Count(1) }
    }
}

impl Default for Failslab {
    fn default() -> Self {
        Self { probability: 0, interval: 1, times: 1, space: 0, ignore_gfp_wait: true, seed: 0 }
    }
}
