//! Every allocation that fails, and what follows: what fork returns, what each listener sees, what nobody is told.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;

use fork_model::exit::{WaitFor, do_exit, wait4};
use fork_model::fork::{do_fork, flags};
use fork_model::pid::{BITS_PER_PAGE, PIDMAP_PAGE};
use fork_model::sched::Work;
use fork_model::{Design, SystemConfig};
use rayon::prelude::*;
use serde::Serialize;
use sim::errno::Rc as _;
use sim::mm::{FaultRule, Times};
use sim::{Calm, Rule, Site, What};

use crate::lab::report::plural;
use crate::lab::world::{Setup, World};
use crate::scenario_file::{Boot, Listener, Pace};

/// Forks of each run: one that meets the failure, and one after it.
const FORKS: usize = 2;
/// In words what `#1+` is in a fault's notation.
const FROM_THEN_ON: &str = "from then on";
/// The most listeners of a run.
const LISTENERS: usize = 3;

/// One run: what failed, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The allocation site.
    pub site: &'static str,
    /// Which of its calls fails first, from 1.
    pub call: u64,
    /// `once`, or `from then on`.
    pub times: &'static str,
    /// How many listen.
    pub listeners: usize,
    /// How many allocations failed; 0: the site has no such call with so many listeners.
    pub failed: u64,
    /// What each fork returned: a pid, or a negative error number.
    pub forks: Vec<i64>,
    /// What each listener made of it, in the order in which they bound.
    pub heard: Vec<Heard>,
    /// Memory that was never given back.
    pub leaks: usize,
    /// Memory that was given back twice.
    pub double_frees: usize,
}

/// What one listener made of the forks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Heard {
    /// Of each fork: whether its event arrived; `None` if the fork failed, so that there was none.
    pub got: Vec<Option<bool>>,
    /// Whether it was told that something was lost (-ENOBUFS).
    pub told: bool,
}

/// What became of the events of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// Everybody got everything.
    Delivered,
    /// The fork itself failed, and said so: there is no event to lose.
    NoFork,
    /// Nobody listens.
    Nobody,
    /// Somebody missed something, and was told.
    Announced,
    /// Somebody missed something, and will never know.
    Silent,
}

impl Row {
    /// The worst that happened to an event of this run.
    #[must_use]
    pub fn fate(&self) -> Fate {
        let missed = |heard: &&Heard| heard.got.contains(&Some(false));
        let mut unlucky = self.heard.iter().filter(missed).peekable();
        if unlucky.peek().is_some() {
            return if unlucky.all(|heard| heard.told) { Fate::Announced } else { Fate::Silent };
        }
        match self.forks.iter().any(|rc| *rc < 0) {
            true => Fate::NoFork,
            false if self.listeners == 0 => Fate::Nobody,
            false => Fate::Delivered,
        }
    }
}

/// The sites of the table, in the order in which a fork and its event meet them, and how often one fork calls each: as an
/// undisturbed run of this design has them, with the most listeners.
fn sites(design: Design) -> Vec<(Site, u64)> {
    let world = world(design, LISTENERS);
    let recording = world.sys.m.trace.record();
    fork_and_wait(&world);
    let mut sites: Vec<(Site, u64)> = Vec::new();
    for event in recording.take() {
        if let What::Alloc { site, .. } = event.what {
            match sites.iter_mut().find(|(known, _)| known.0 == site) {
                Some((_, count)) => *count += 1,
                None => sites.push((Site(site), 1)),
            }
        }
    }
    sites.into_iter().map(|(site, count)| (site, count.div_ceil(FORKS as u64))).collect()
}

/// All runs: every call of every site, once and from then on, with 0 to 3 listeners. Runs in parallel; the order and the
/// result do not depend on it.
#[must_use]
pub fn table(design: impl Into<Design>) -> Vec<Row> {
    let design = design.into();
    let mut runs = Vec::new();
    for (site, calls) in sites(design) {
        for call in 1..=calls {
            for times in [Times::Count(1), Times::Forever] {
                runs.extend((0..=LISTENERS).map(|listeners| (site, call, times, listeners)));
            }
        }
    }
    runs.into_par_iter().map(|(site, call, times, listeners)| row(design, site, call, times, listeners)).collect()
}

fn setup(design: Design, listeners: usize) -> Setup {
    let listener = |i: usize| Listener {
        name: char::from(b'a' + u8::try_from(i).expect("at most 3")).to_string(),
        pace: Pace::DrainAtEnd,
        ..Listener::default()
    };
    Setup {
        machine: sim::Config::default(),
        system: SystemConfig { design, ..SystemConfig::default() },
        boot: Boot::Done,
        pid_max: 2 * BITS_PER_PAGE,
        last_pid: 99,
        roots: vec![None],
        listeners: (0..listeners).map(listener).collect(),
    }
}

/// A kernel of this design before the forks.
fn world(design: Design, listeners: usize) -> Rc<World> {
    let world = Rc::new(World::new(&setup(design, listeners)).expect("there is room for one task"));
    world.begin(Calm);
    // The next pid is the first of a page of the bitmap that does not exist yet, so that this page can fail, too.
    world.sys.pids.last_pid.set(BITS_PER_PAGE - 1);
    world
}

fn row(design: Design, site: Site, call: u64, times: Times, listeners: usize) -> Row {
    let world = world(design, listeners);
    let m = &world.sys.m;
    m.mem.faults(|faults| faults.add(FaultRule { site: Some(site.0.to_owned()), nth: call, times }));
    let forks = fork_and_wait(&world);
    let failed = m.mem.faults(|faults| {
        let failed = faults.hits().iter().map(|(_, count)| count).sum();
        faults.clear();
        failed
    });
    world.drain();
    // The page of the bitmap stays for good, as in the kernel.
    let leaks = world.sys.live_since(&world.before).into_iter().filter(|entry| entry.site != PIDMAP_PAGE.0).count();
    let double_frees = m.violations().iter().filter(|violation| violation.rule == Rule::DoubleFree).count();
    let heard = world.listeners.iter().map(|listener| {
        let heard = listener.heard.borrow();
        let pid = |rc: &i64| i32::try_from(*rc).ok().filter(|pid| *pid > 0);
        let got = forks.iter().map(|rc| pid(rc).map(|pid| heard.tree.parent(pid).is_some()));
        Heard { got: got.collect(), told: heard.overruns > 0 }
    });
    let times = if times == Times::Forever { FROM_THEN_ON } else { "once" };
    Row { site: site.0, call, times, listeners, failed, heard: heard.collect(), leaks, double_frees, forks }
}

/// A task forks children that exit at once, and waits for each; worker threads of the design do their part.
fn fork_and_wait(world: &Rc<World>) -> Vec<i64> {
    let results = Rc::new(RefCell::new(Vec::new()));
    let (sys, me, out) = (world.sys.clone(), world.roots[0], results.clone());
    world.sys.m.spawn("p", async move {
        for _ in 0..FORKS {
            let work = Work::new("c", |sys, me| async move { do_exit(&sys, me, 0).await });
            let forked = do_fork(&sys, me, flags::SIGCHLD, Some(work)).await;
            out.borrow_mut().push(forked.rc());
            if let Ok(pid) = forked {
                wait4(&sys, me, WaitFor::Pid(pid), false).await.expect("the child was just forked");
            }
        }
    });
    world.sys.m.run();
    results.take()
}

/// The table for people. Runs that met no failure are left out, and counted.
#[must_use]
pub fn text(rows: &[Row]) -> String {
    let mut out = String::new();
    let line = |out: &mut String, cells: [&str; 5]| {
        let [fault, listeners, forks, heard, fate] = cells;
        let text = format!("{fault:<25}{listeners:>2}  {forks:<17}{heard:<10}{fate}");
        writeln!(out, "{}", text.trim_end()).expect("a String takes everything");
    };
    line(&mut out, ["what fails", "n", "fork returns", "heard", "the event is"]);
    line(&mut out, ["----------", "-", "------------", "-----", "------------"]);
    for row in rows.iter().filter(|row| row.failed > 0) {
        let forever = if row.times == FROM_THEN_ON { "+" } else { "" };
        let fault = format!("{}#{}{forever}", row.site, row.call);
        let forks: Vec<_> = row.forks.iter().map(|rc| returned(*rc)).collect();
        let heard: Vec<_> = row.heard.iter().map(heard_text).collect();
        let cells = [&fault, &row.listeners.to_string(), &forks.join(" "), &heard.join(" "), fate_text(row.fate())];
        line(&mut out, cells);
    }
    let met = rows.iter().filter(|row| row.failed > 0).count();
    let silent = rows.iter().filter(|row| row.failed > 0 && row.fate() == Fate::Silent).count();
    let leaks: usize = rows.iter().map(|row| row.leaks).sum();
    write!(
        out,
        "\nwhat fails: site#1, its first call; site#1+, that and all later ones.\n\
         n: listeners. heard, for each of them: 1 and 2, the events it got of the two\n\
         forks; . an event it missed and does not know of; ! one it missed and was told\n\
         of (-ENOBUFS); - the fork failed, there was none.\n\
         {}, {met} of them met a failure, {silent} lost an event silently; {}.\n",
        plural(rows.len() as u64, "run"),
        plural(leaks as u64, "leak")
    )
    .expect("a String takes everything");
    out
}

fn returned(rc: i64) -> String {
    let errno = u16::try_from(-rc).ok().map(sim::Errno::from_number);
    errno.map_or_else(|| rc.to_string(), |errno| errno.to_string())
}

fn heard_text(heard: &Heard) -> String {
    let missed = if heard.told { '!' } else { '.' };
    let cell = |(number, got): (char, &Option<bool>)| match got {
        None => '-',
        Some(true) => number,
        Some(false) => missed,
    };
    ('1'..).zip(&heard.got).map(cell).collect()
}

fn fate_text(fate: Fate) -> &'static str {
    match fate {
        Fate::Delivered => "delivered",
        Fate::NoFork => "not due: fork failed",
        Fate::Nobody => "for nobody",
        Fate::Announced => "lost, and announced",
        Fate::Silent => "lost silently",
    }
}
