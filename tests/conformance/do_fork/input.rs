//! What a case is given.

use std::collections::BTreeSet;

use fork_model::pid::BITS_PER_PAGE;
use serde::Deserialize;

use crate::harness::listeners::Listener;

/// One case. `fork_idle()` may stand at its top, without a list of forks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    #[serde(default)]
    pub config: Config,
    #[serde(default)]
    pub last_pid: i32,
    #[serde(default = "pid_max")]
    pub pid_max: i32,
    #[serde(default = "yes")]
    pub uevent_sock: bool,
    #[serde(default)]
    pub listeners: Vec<Listener>,
    #[serde(default)]
    pub fail: Vec<String>,
    pub forks: Option<Vec<Fork>>,
    #[serde(default = "empty_bitmap")]
    pub pid_bitmap: String,
    #[serde(alias = "op", alias = "call")]
    pub function: Option<Function>,
    pub cpu: Option<i64>,
    #[serde(default)]
    pub helper_failures: Vec<Failure>,
    pub current: Option<Current>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(rename = "CONFIG_NUMA", default)]
    pub numa: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    #[default]
    DoFork,
    ForkIdle,
}

/// One fork of a case.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fork {
    #[serde(default, alias = "op", alias = "call")]
    pub function: Function,
    /// `fork_idle()` has its own.
    pub clone_flags: Option<u32>,
    /// The same for people, as is the next.
    #[serde(rename = "clone_flags_hex")]
    pub _clone_flags_hex: Option<String>,
    #[serde(rename = "flag_names")]
    pub _flag_names: Option<Vec<String>>,
    #[serde(default)]
    pub helper_failures: Vec<Failure>,
    #[serde(default)]
    pub current: Current,
    pub cpu: Option<i64>,
}

/// A helper of `copy_process()` that fails.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    pub helper: String,
    pub ret: i64,
    /// For people.
    #[serde(rename = "errno")]
    pub _errno: Option<String>,
}

/// The task that forks, what it shares, and the counters that it meets.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Current {
    pub pid: i32,
    pub tgid: i32,
    pub real_parent: i32,
    /// 0: nobody.
    pub tracer: i32,
    pub ptrace: u32,
    pub user_is_root: bool,
    pub cap_sys_admin: bool,
    pub cap_sys_resource: bool,
    pub user_processes: i32,
    pub rlimit_nproc: u64,
    pub nr_threads: i64,
    pub max_threads: i64,
    pub sigkill_pending: bool,
    pub shared_sigkill_pending: bool,
    pub signal_group_exit: bool,
    pub group_stop_count: i32,
    pub kernel_thread: bool,
    pub has_binfmt: bool,
    pub child_exits_before_event: bool,
    pub child_forks_first: bool,
    pub pf_superpriv: bool,
}

impl Default for Current {
    /// The usual caller of the vectors.
    fn default() -> Current {
        Current {
            pid: 100,
            tgid: 100,
            real_parent: 1,
            tracer: 0,
            ptrace: 0,
            user_is_root: false,
            cap_sys_admin: false,
            cap_sys_resource: false,
            user_processes: 1,
            rlimit_nproc: 100,
            nr_threads: 50,
            max_threads: 1000,
            sigkill_pending: false,
            shared_sigkill_pending: false,
            signal_group_exit: false,
            group_stop_count: 0,
            kernel_thread: false,
            has_binfmt: true,
            child_exits_before_event: false,
            child_forks_first: false,
            pf_superpriv: false,
        }
    }
}

fn pid_max() -> i32 {
    BITS_PER_PAGE
}

fn yes() -> bool {
    true
}

fn empty_bitmap() -> String {
    "only pid 0 in use".into()
}

/// The pids of a sentence like `only pid 0 in use`, `300..32767 in use`, `1, 2 and 300..400 in use`,
/// `0..32767 in use except 500` or `only pid 300 free`.
///
/// # Panics
/// If it has a word that says something else.
pub fn pids_in_use(sentence: &str) -> BTreeSet<i32> {
    let all = || (0..BITS_PER_PAGE).collect::<BTreeSet<_>>();
    let (mut named, mut except) = (BTreeSet::new(), BTreeSet::new());
    let (mut excepting, mut free) = (false, false);
    let text = sentence.to_lowercase().replace(',', " ");
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        let into = if excepting { &mut except } else { &mut named };
        match word {
            "all" | "every" | "everything" => into.extend(all()),
            "except" | "but" => excepting = true,
            "free" => free = true,
            "page" => drop(words.next()), // Pids above page 0 have no place in a sentence.
            "only" | "pid" | "pids" | "and" | "is" | "are" | "in" | "use" | "used" | "exists" | "below" | "pid_max" => {
            }
            pids => into.extend(range(pids).unwrap_or_else(|| panic!("pid_bitmap: {sentence:?} says {pids:?}"))),
        }
    }
    named.retain(|pid| !except.contains(pid));
    if free { &all() - &named } else { named }
}

fn range(word: &str) -> Option<std::ops::RangeInclusive<i32>> {
    let (from, to) = word.split_once("..").unwrap_or((word, word));
    let range = from.parse().ok()?..=to.parse().ok()?;
    (*range.start() >= 0 && *range.end() < BITS_PER_PAGE).then_some(range)
}

#[test]
fn a_sentence_about_the_bitmap_is_understood_or_refused() {
    let some = |pids: &[i32]| pids.iter().copied().collect::<BTreeSet<_>>();
    assert_eq!(pids_in_use("only pid 0 in use"), some(&[0]));
    assert_eq!(pids_in_use("only pid 300 exists below pid_max and is in use"), some(&[300]));
    assert_eq!(
        pids_in_use("1, 2 and 300..302 in use (page 0)".replace(['(', ')'], "").as_str()),
        some(&[1, 2, 300, 301, 302])
    );
    assert_eq!(pids_in_use("0..32767 in use except 7").len(), 32767);
    assert_eq!(pids_in_use("only pid 300 free").len(), 32767);
    assert!(std::panic::catch_unwind(|| pids_in_use("odd pids in use")).is_err());
}
