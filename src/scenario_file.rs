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
//! config = { hotplug = true, kobject_uevent = true }
//!
//! [design]
//! hook = "end"                     # where do_fork() tells user space
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
//! rcvbuf = 124928                  # bytes, sk_rcvbuf as it is, not doubled
//! pace = "eager"                   # or "drain-at-end", or { every = 10 }: reads after each tenth event
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

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{self, Deserializer, Unexpected, Visitor};

use crate::input::{InputError, quoted};

const A_SCENARIO: &str = "a scenario (TOML)";
/// Bytes of a scenario file: beyond this it is something else, such as a recording.
const LONGEST_FILE: u64 = 1 << 20;
/// `[[tasks]]` of a file. Bounds the depth of the search for recursion.
const MOST_PROGRAMS: usize = 256;
/// Tasks that a run may start in all.
const MOST_TASKS: u64 = 65_536;

/// The names of things that a scenario may speak of, but that are defined elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Hooks of `[design]`.
    pub hooks: &'a [&'a str],
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
}

/// `[design]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Design {
    /// One of [`Known::hooks`].
    pub hook: String,
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

/// One of `[[listeners]]`: a socket of `NETLINK_KOBJECT_UEVENT`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Lower-case letters.
    #[serde(deserialize_with = "lane_name")]
    pub name: String,
    /// Bit mask of multicast groups, not 0.
    #[serde(deserialize_with = "within::<1, { u32::MAX as i64 }, _, _>")]
    pub groups: u32,
    /// `sk_rcvbuf` in bytes, as it is.
    #[serde(default = "default_rcvbuf", deserialize_with = "within::<0, { i32::MAX as i64 }, _, _>")]
    pub rcvbuf: u32,
    /// When it reads.
    #[serde(default)]
    pub pace: Pace,
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

/// One action of a task, written as one string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `fork NAME`, `vfork NAME` or `clone NAME FLAG|FLAG`, each with `xN` behind it for N times.
    ///
    /// As in the kernel, all three are `do_fork()` with other flags. Impossible combinations are legal here: the
    /// kernel answers them with `-EINVAL`.
    Fork {
        /// What the child runs.
        program: String,
        /// `CLONE_*`, with the exit signal in the lowest byte.
        flags: u64,
        /// How often, 1 to 65536.
        times: u32,
    },
    /// `exec`
    Exec,
    /// `exit CODE`, 0 to 255; nothing may follow.
    Exit(u8),
    /// `wait` for any child, or `wait NAME` for one that runs this program.
    Wait(Option<String>),
    /// `cont NAME`: SIGCONT to a child that was made with `CLONE_STOPPED`.
    Cont(String),
}

/// The flags of Linux 2.6.11 (`include/linux/sched.h`) that user space may pass, and the one exit signal that matters.
const CLONE_FLAGS: [(&str, u64); 18] = [
    ("SIGCHLD", 17),
    ("CLONE_VM", 0x100),
    ("CLONE_FS", 0x200),
    ("CLONE_FILES", 0x400),
    ("CLONE_SIGHAND", 0x800),
    ("CLONE_PTRACE", 0x2000),
    ("CLONE_VFORK", 0x4000),
    ("CLONE_PARENT", 0x8000),
    ("CLONE_THREAD", 0x1_0000),
    ("CLONE_NEWNS", 0x2_0000),
    ("CLONE_SYSVSEM", 0x4_0000),
    ("CLONE_SETTLS", 0x8_0000),
    ("CLONE_PARENT_SETTID", 0x10_0000),
    ("CLONE_CHILD_CLEARTID", 0x20_0000),
    ("CLONE_DETACHED", 0x40_0000),
    ("CLONE_UNTRACED", 0x80_0000),
    ("CLONE_CHILD_SETTID", 0x100_0000),
    ("CLONE_STOPPED", 0x200_0000),
];

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
        let forked: BTreeSet<&str> = self.tasks.iter().flat_map(Task::forks).map(|(_, program, _)| program).collect();
        self.tasks.iter().filter(move |task| !forked.contains(task.name.as_str()))
    }

    /// The task or program of that name.
    pub fn task(&self, name: &str) -> Option<&Task> {
        self.tasks.iter().find(|task| task.name == name)
    }

    /// What single values cannot tell.
    fn check(&self, known: &Known<'_>) -> Result<(), Wrong> {
        let Machine { pid_max, last_pid, .. } = self.machine;
        if last_pid >= pid_max {
            let expected = format!("less than pid_max, which is {pid_max}");
            return Err(Wrong::new("machine.last_pid", last_pid.to_string(), expected));
        }
        one_of("design.hook", &self.design.hook, known.hooks)?;
        for (i, fault) in self.faults.iter().enumerate() {
            fault.site.iter().try_for_each(|site| one_of(&format!("faults.{i}.site"), site, known.sites))?;
        }
        if !(1..=MOST_PROGRAMS).contains(&self.tasks.len()) {
            let expected = format!("1 to {MOST_PROGRAMS}");
            return Err(Wrong::new("tasks", format!("{} tasks", self.tasks.len()), expected));
        }
        self.check_names()?;
        self.check_actions()?;
        self.check_forks()
    }

    /// Listeners and tasks share the names of lanes.
    fn check_names(&self) -> Result<(), Wrong> {
        let listeners = self.listeners.iter().map(|listener| &listener.name);
        let tasks = self.tasks.iter().map(|task| &task.name);
        let listeners = listeners.enumerate().map(|(i, name)| ("listeners", i, name));
        let tasks = tasks.enumerate().map(|(i, name)| ("tasks", i, name));
        let mut seen = BTreeSet::new();
        for (kind, i, name) in listeners.chain(tasks) {
            if !seen.insert(name) {
                let expected = "a name that no other listener or task has";
                return Err(Wrong::new(format!("{kind}.{i}.name"), quoted(name), expected));
            }
        }
        Ok(())
    }

    fn check_actions(&self) -> Result<(), Wrong> {
        let names: Vec<&str> = self.tasks.iter().map(|task| task.name.as_str()).collect();
        for (i, task) in self.tasks.iter().enumerate() {
            for (j, action) in task.does.iter().enumerate() {
                let place = format!("tasks.{i}.does.{j}");
                match action {
                    Action::Fork { program: name, .. } | Action::Wait(Some(name)) | Action::Cont(name) => {
                        one_of(&place, name, &names)?;
                    }
                    Action::Exit(_) if j + 1 < task.does.len() => {
                        return Err(Wrong::new(place, "an exit with actions behind it", "exit to be the last action"));
                    }
                    Action::Exit(_) | Action::Exec | Action::Wait(None) => {}
                }
            }
        }
        Ok(())
    }

    /// Refuses programs that fork themselves, be it through others: no action has a condition, so that never ends.
    fn check_forks(&self) -> Result<(), Wrong> {
        let mut sizes = BTreeMap::new();
        for i in 0..self.tasks.len() {
            self.size(i, &mut Vec::new(), &mut sizes)?;
        }
        let total: u64 = self.boots().map(|task| sizes[task.name.as_str()]).sum();
        check_size("tasks".to_owned(), total)
    }

    /// How many tasks one run of program `i` makes, itself included; `path` holds the programs that led here.
    fn size<'a>(&'a self, i: usize, path: &mut Vec<&'a str>, sizes: &mut BTreeMap<&'a str, u64>) -> Result<u64, Wrong> {
        let name = self.tasks[i].name.as_str();
        if let Some(&size) = sizes.get(name) {
            return Ok(size);
        }
        path.push(name);
        let mut size = 1;
        for (j, program, times) in self.tasks[i].forks() {
            let place = format!("tasks.{i}.does.{j}");
            if path.contains(&program) {
                let found = format!("{} forks {program} again", path.join(" forks "));
                return Err(Wrong::new(place, found, "programs that end"));
            }
            if let Some(child) = self.tasks.iter().position(|task| task.name == program) {
                size += self.size(child, path, sizes)? * u64::from(times);
            }
            check_size(place, size)?;
        }
        path.pop();
        sizes.insert(name, size);
        Ok(size)
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
            config: Config::default(),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { hotplug: true, kobject_uevent: true }
    }
}

impl Default for Design {
    fn default() -> Self {
        Self { hook: "end".to_owned() }
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

/// `sysctl_rmem_default` of a machine with more than 4,096 pages: 256 buffers of `sizeof(struct sk_buff) + 256` bytes.
fn default_rcvbuf() -> u32 {
    124_928
}

/// What is wrong, and the keys and indices that lead to it, joined by dots.
struct Wrong {
    place: String,
    found: String,
    expected: String,
}

impl Wrong {
    fn new(place: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { place: place.into(), found: found.into(), expected: expected.into() }
    }
}

fn check_size(place: String, size: u64) -> Result<(), Wrong> {
    if size <= MOST_TASKS {
        return Ok(());
    }
    let expected = format!("{MOST_TASKS} or fewer");
    Err(Wrong::new(place, format!("{size} tasks in all"), expected))
}

fn one_of(place: &str, found: &str, known: &[&str]) -> Result<(), Wrong> {
    if known.contains(&found) {
        return Ok(());
    }
    Err(Wrong::new(place, quoted(found), format!("one of {}", known.join(", "))))
}

/// A number of a range, which the error message shows.
struct Within(i64, i64);

impl Visitor<'_> for Within {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number from {} to {}", self.0, self.1)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<i64, E> {
        if (self.0..=self.1).contains(&number) {
            return Ok(number);
        }
        Err(E::invalid_value(Unexpected::Signed(number), &self))
    }
}

fn within<'de, const MIN: i64, const MAX: i64, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: TryFrom<i64>,
    D: Deserializer<'de>,
{
    let number = deserializer.deserialize_i64(Within(MIN, MAX))?;
    T::try_from(number).map_err(|_| de::Error::invalid_value(Unexpected::Signed(number), &Within(MIN, MAX)))
}

fn cache_line<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match within::<32, 128, u32, _>(deserializer)? {
        bytes @ (32 | 64 | 128) => Ok(bytes),
        bytes => Err(de::Error::invalid_value(Unexpected::Unsigned(bytes.into()), &"32, 64 or 128")),
    }
}

/// The name of a lane: letters only, as a number behind it counts steps in a replay line.
fn lane_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    spelled(deserializer, "a name of lower-case letters", |c| c.is_ascii_lowercase())
}

fn scenario_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let expected = "a name of lower-case letters, digits and hyphens";
    spelled(deserializer, expected, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn spelled<'de, D: Deserializer<'de>>(d: D, expected: &str, legal: fn(char) -> bool) -> Result<String, D::Error> {
    let name = String::deserialize(d)?;
    if name.is_empty() || !name.chars().all(legal) {
        return Err(de::Error::invalid_value(Unexpected::Str(&name), &expected));
    }
    Ok(name)
}

impl<'de> Deserialize<'de> for Times {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountOrForever;
        impl Visitor<'_> for CountOrForever {
            type Value = Times;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a number from 1 to {}, or \"forever\"", u32::MAX)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Times, E> {
                let count = u32::try_from(number).ok().filter(|count| *count > 0);
                let wrong = || E::invalid_value(Unexpected::Signed(number), &self);
                count.map(Times::Count).ok_or_else(wrong)
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Times, E> {
                match word {
                    "forever" => Ok(Times::Forever),
                    _ => Err(E::invalid_value(Unexpected::Str(word), &self)),
                }
            }
        }
        deserializer.deserialize_any(CountOrForever)
    }
}

// Not serde's `try_from`: an error from within the visitor is placed at this string, a later one at the whole array.
impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ActionText;
        impl Visitor<'_> for ActionText {
            type Value = Action;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Action, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(ActionText)
    }
}

impl FromStr for Action {
    /// What was found and what was expected, in one sentence.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[..] {
            ["fork", name, ref times @ ..] => forking(name, flag_bits("SIGCHLD")?, times),
            ["vfork", name, ref times @ ..] => forking(name, flag_bits("CLONE_VFORK|CLONE_VM|SIGCHLD")?, times),
            ["clone", name, flags, ref times @ ..] => forking(name, flag_bits(flags)?, times),
            ["exec"] => Ok(Self::Exec),
            ["exit", code] => match code.parse() {
                Ok(code) => Ok(Self::Exit(code)),
                Err(_) => Err(format!("{}, expected an exit code from 0 to 255", quoted(code))),
            },
            ["wait"] => Ok(Self::Wait(None)),
            ["wait", name] => Ok(Self::Wait(Some(name.to_owned()))),
            ["cont", name] => Ok(Self::Cont(name.to_owned())),
            _ => Err(format!(
                "{}, expected fork NAME, vfork NAME, clone NAME FLAGS (each with xN behind it for N times), exec, \
                 exit CODE, wait, wait NAME or cont NAME",
                quoted(text)
            )),
        }
    }
}

fn forking(program: &str, flags: u64, times: &[&str]) -> Result<Action, String> {
    let times = match *times {
        [] => Some(1),
        [times] => times.strip_prefix('x').and_then(|n| n.parse().ok()).filter(|n| (1..=65_536).contains(n)),
        _ => None,
    }
    .ok_or_else(|| format!("{}, expected x1 to x65536", quoted(&times.join(" "))))?;
    Ok(Action::Fork { program: program.to_owned(), flags, times })
}

fn flag_bits(flags: &str) -> Result<u64, String> {
    flags.split('|').try_fold(0, |bits, name| {
        let flag = CLONE_FLAGS.iter().find(|(known, _)| *known == name);
        flag.map(|(_, bit)| bits | bit).ok_or_else(|| {
            let names: Vec<&str> = CLONE_FLAGS.iter().map(|(known, _)| *known).collect();
            format!("flag {}, expected one of {}", quoted(name), names.join(", "))
        })
    })
}
