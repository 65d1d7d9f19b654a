//! One run and its report.

use std::cell::RefCell;
use std::rc::Rc;

use serde::Serialize;
use sim::mm::{Failslab, FaultRule, Faults, Times};
use sim::{Calm, Chooser, Ended, LaneName, Question, Replay, Schedule, Seeded, Violation};
use uevent::kobject_uevent::ForkOutcomes;

use crate::input::InputError;
use crate::lab::cost::{self, Cost};
use crate::lab::listen::Listener;
use crate::lab::observe::Observed;
use crate::lab::program::Play;
use crate::lab::spec::{Order, Source, Spec};
use crate::lab::turns::{Followed, Plan, Turns};
use crate::lab::world::{Setup, World};
use crate::property::Run;
use crate::scenario_file::{self, ScenarioFile};
use crate::workload::Workload;

/// What came of a run. Its JSON is the `--json` of `forklab run`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Paste it after `forklab replay`: the same run again.
    pub replay: String,
    /// Where the notification stood.
    pub hook: &'static str,
    /// The whole design, if more of it than the hook is not as posted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub design: Option<String>,
    /// Forks that succeeded, threads included.
    pub forks: u64,
    /// Those that made a thread.
    pub threads: u64,
    /// Forks that failed, by error.
    pub fork_errors: Vec<(String, u64)>,
    /// Exits.
    pub exits: u64,
    /// Execs.
    pub execs: u64,
    /// Events that reached `netlink_broadcast()`.
    pub events_sent: u64,
    /// How far the events came.
    pub events: Events,
    /// What each listener got, in the order in which they bound.
    pub listeners: Vec<ListenerReport>,
    /// What one event costs, by how many listen.
    pub cost: Vec<Cost>,
    /// Allocations that failed, by site.
    pub failed_allocations: Vec<(&'static str, u64)>,
    /// Rules that were broken, in order.
    pub violations: Vec<Violation>,
    /// How closely it followed its recording, if it had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub followed: Option<Followed>,
    /// Steps of the run.
    pub steps: u64,
    /// `quiet`, or `deadlock`.
    pub ended: &'static str,
    /// SHA-256 of the JSON trace.
    pub trace_hash: String,
}

/// How far the events came. Each fork that got as far as the hook is in exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Events {
    /// At least one listener got it.
    pub delivered: u64,
    /// -ESRCH: nobody listens, or every listener is full.
    pub nobody: u64,
    /// -ENOMEM, before any listener was asked.
    pub no_memory: u64,
    /// -EIO: there is no netlink socket.
    pub no_socket: u64,
    /// `CONFIG_KOBJECT_UEVENT` is off: the sender is an empty function.
    pub not_configured: u64,
    /// -ENOBUFS: nobody got it, and a copy could not be made.
    pub no_copy: u64,
    /// The gate of the design kept it back.
    #[serde(skip_serializing_if = "is_zero")]
    pub kept: u64,
}

/// Left out of the JSON: the patch as posted has no such thing.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl From<ForkOutcomes> for Events {
    fn from(o: ForkOutcomes) -> Events {
        Events {
            delivered: o.delivered,
            nobody: o.nobody,
            no_memory: o.no_memory,
            no_socket: o.no_socket,
            not_configured: o.not_configured,
            no_copy: o.no_copy,
            kept: o.kept,
        }
    }
}

/// What one listener got.
#[derive(Clone, Debug, Serialize)]
pub struct ListenerReport {
    /// Its name.
    pub name: String,
    /// Messages received.
    pub received: u64,
    /// Messages that matched its groups and did not reach it.
    pub lost: u64,
    /// Those, by reason.
    pub why: Why,
    /// How often it was told of a loss (-ENOBUFS); one such word may stand for many messages.
    pub told: u64,
    /// Numbers that it misses, of a design that numbers its events.
    #[serde(skip_serializing_if = "is_zero")]
    pub missing_numbers: u64,
    /// Numbers that it got twice.
    #[serde(skip_serializing_if = "is_zero")]
    pub double_numbers: u64,
    /// Numbers that came after a higher one.
    #[serde(skip_serializing_if = "is_zero")]
    pub late_numbers: u64,
    /// What it believes of the process tree.
    pub tree: Tree,
    /// Its first messages, NULs visible.
    pub messages: Vec<String>,
}

/// Why messages did not reach a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Why {
    /// Its receive buffer was full.
    pub full: u64,
    /// It had lost something and had not drained its queue since.
    pub latched: u64,
    /// No memory for a copy, its own or an earlier listener's.
    pub no_copy: u64,
}

/// What a listener believes of the process tree, in tasks that were forked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Tree {
    /// It knows the process, and its true parent.
    pub right: u64,
    /// It has another parent for it, or takes a thread for a process.
    pub wrong: u64,
    /// It has not heard of it.
    pub missing: u64,
    /// Children it believes in that never were.
    pub phantom: u64,
}

/// Who watches a run while it goes on.
#[derive(Default)]
pub struct Watch {
    /// Told how many acts of a recording there are, and how many have begun.
    pub progress: Option<Box<dyn FnMut(usize, usize)>>,
    /// Gets every event of the trace.
    pub sinks: Vec<Box<dyn sim::trace::Sink>>,
}

/// What is to be run, read and checked.
pub struct Loaded {
    /// How it was asked for.
    pub spec: Spec,
    scenario: Option<ScenarioFile>,
    plan: Option<Plan>,
    /// The kernel, the tasks it begins with, and its listeners.
    pub setup: Setup,
}

impl Loaded {
    /// Reads what a specification names. `bytes_read` hears of the progress through a recording.
    ///
    /// # Errors
    /// [`InputError`]: of the scenario or the recording.
    pub fn new(spec: Spec, bytes_read: impl FnMut(u64)) -> Result<Loaded, InputError> {
        let scenario = spec.scenario()?;
        Loaded::with(spec, scenario, bytes_read)
    }

    /// The same for a scenario that was read before, whatever the source of the specification says; see
    /// [`parse_scenario`](crate::lab::spec::parse_scenario).
    ///
    /// # Errors
    /// [`InputError`] for a design that cannot be built.
    pub fn of(spec: Spec, scenario: ScenarioFile) -> Result<Loaded, InputError> {
        Loaded::with(spec, Some(scenario), |_| ())
    }

    fn with(spec: Spec, scenario: Option<ScenarioFile>, bytes_read: impl FnMut(u64)) -> Result<Loaded, InputError> {
        let plan = match &spec.source {
            Source::Workload(path) if scenario.is_none() => {
                Some(Plan::new(&Workload::read_with_progress(path, bytes_read)?))
            }
            _ => None,
        };
        let mut setup = spec.setup(scenario.as_ref());
        let design = setup.system.design;
        design.check().map_err(|impossible| {
            InputError::new("<design>", design.to_string(), format!("a design that can be built: {impossible}"))
        })?;
        if let Some(plan) = &plan {
            setup.roots = plan.outsiders.iter().map(|pid| Some(*pid)).collect();
        }
        Ok(Loaded { spec, scenario, plan, setup })
    }
}

/// Notes who stepped, beside what another chooser decides.
struct Noted<C> {
    chooser: C,
    schedule: Rc<RefCell<Schedule>>,
}

impl<C: Chooser> Chooser for Noted<C> {
    fn choose(&mut self, question: Question<'_>, n: u32) -> u32 {
        self.chooser.choose(question, n)
    }

    fn stepped(&mut self, lane: LaneName) {
        self.schedule.borrow_mut().push(lane);
        self.chooser.stepped(lane);
    }

    fn objection(&self) -> Option<String> {
        self.chooser.objection()
    }
}

fn begin(world: &Rc<World>, order: &Order, schedule: &Rc<RefCell<Schedule>>) {
    fn noted<C: Chooser + 'static>(chooser: C, schedule: &Rc<RefCell<Schedule>>) -> Noted<C> {
        Noted { chooser, schedule: schedule.clone() }
    }
    match order {
        Order::Calm => world.begin(noted(Calm, schedule)),
        Order::Seed(seed) => world.begin(noted(Seeded::new(*seed), schedule)),
        Order::Schedule(wanted) => world.begin(noted(Replay::new(wanted.clone()), schedule)),
    }
}

/// Has those allocations fail that a scenario names, whoever chooses the rest.
pub(crate) fn faults_of_file(faults: &mut Faults, scenario: Option<&ScenarioFile>) {
    let of_file = scenario.iter().flat_map(|scenario| &scenario.faults).map(|fault| FaultRule {
        site: fault.site.clone(),
        nth: fault.nth.into(),
        times: match fault.times {
            scenario_file::Times::Count(times) => Times::Count(times.into()),
            scenario_file::Times::Forever => Times::Forever,
        },
    });
    let failslab = scenario.and_then(|scenario| scenario.failslab.as_ref()).map(|words| {
        let mut failslab = Failslab::new(words.probability, words.seed);
        failslab.interval = words.interval.into();
        failslab.times = u64::try_from(words.times).ok();
        failslab.space = words.space.into();
        failslab.ignore_gfp_wait = words.ignore_gfp_wait;
        failslab
    });
    of_file.for_each(|rule| faults.add(rule));
    faults.failslab = failslab;
}

fn ask_for_faults(world: &World, spec: &Spec, scenario: Option<&ScenarioFile>) {
    world.sys.m.mem.faults(|faults| {
        faults_of_file(faults, scenario);
        spec.faults.iter().cloned().for_each(|rule| faults.add(rule));
    });
}

/// Runs what was loaded, and reports.
///
/// # Errors
/// [`InputError`] if a schedule was given that cannot be followed, or a machine too small for the tasks at boot.
pub fn run(loaded: &Loaded, watch: Watch) -> Result<Report, InputError> {
    let world = World::new(&loaded.setup).map_err(|no_room| {
        let file = match &loaded.spec.source {
            Source::BuiltIn(name) => format!("<{name}>"),
            Source::File(path) | Source::Workload(path) => path.display().to_string(),
        };
        InputError::new(file, no_room.to_string(), "a machine with room for them: see pid_max, last_pid and mempages")
    })?;
    let world = Rc::new(world);
    let Watch { progress, sinks } = watch;
    let mut followed: Option<Rc<Turns>> = None;
    let start: Box<dyn FnOnce()> = match (&loaded.scenario, &loaded.plan) {
        (Some(scenario), _) => {
            let play = Play::new(&world, scenario.clone());
            Box::new(move || play.start())
        }
        (None, Some(plan)) => {
            let mut progress = progress.unwrap_or_else(|| Box::new(|_, _| ()));
            let acts = plan.acts();
            let turns = Turns::new(&world, plan.clone(), move |begun| progress(begun, acts));
            followed = Some(turns.clone());
            Box::new(move || turns.start())
        }
        (None, None) => unreachable!("a source is a scenario or a recording"),
    };
    let m = world.sys.m.clone();
    let forks_before = world.sys.total_forks.get();
    let schedule = Rc::new(RefCell::new(Schedule::default()));
    begin(&world, &loaded.spec.order, &schedule);
    m.trace.start_hash();
    sinks.into_iter().for_each(|sink| m.trace.attach_boxed(sink));
    // A recording's lanes are told by its pids, which a schedule cannot spell; it is repeated by its seed.
    if loaded.scenario.is_some() {
        m.watch_steps();
    }
    ask_for_faults(&world, &loaded.spec, loaded.scenario.as_ref());
    world.sys.record_facts(loaded.spec.law.is_some());
    start();
    let ended = m.run();
    world.sys.forget_the_stopped();
    if let Some(objection) = m.objection() {
        return Err(cannot_follow(&objection));
    }
    m.hand_over(Calm); // What follows is no part of the run.
    let (steps, schedule) = (m.step(), schedule.take());
    let (failed, first_failed) = m.mem.faults(|faults| {
        let hits = (faults.hits().to_vec(), faults.first().to_vec());
        faults.clear();
        hits
    });
    m.hand_over(Calm); // What follows is no part of the run.
    world.drain();
    world.report_leaks();
    if let Some(property) = loaded.spec.law {
        let (facts, failed) = (world.sys.facts.take(), failed.clone());
        let observed = Observed { facts, failed, first_failed, ended, steps, world: world.clone() };
        // Its violation is among the machine's from here on, and in the trace.
        property.broken_in(&Run { design: loaded.setup.system.design, observed: &observed });
    }
    let spec = Spec { design: loaded.spec.design.for_replay(loaded.setup.system.design), ..loaded.spec.clone() };
    let spec = match (&loaded.scenario, &spec.order) {
        // A short one can be read and edited; a long one could not even be pasted, and its seed does as well.
        (Some(_), Order::Seed(_)) if schedule.to_string().len() <= LONGEST_SCHEDULE => {
            Spec { order: Order::Schedule(schedule), ..spec }
        }
        _ => spec,
    };
    let followed = followed.map(|turns| turns.followed());
    Ok(report(&world, &spec, &loaded.setup, (ended, steps, failed, forks_before, followed)))
}

/// `after step 1: found lane c next, expected one that can run: p`, which a chooser says, as a mistake of the user.
fn cannot_follow(objection: &str) -> InputError {
    let (when, what) = objection.split_once(": found ").unwrap_or(("", objection));
    let (found, expected) = what.split_once(", expected ").unwrap_or((what, "a schedule that can be followed"));
    InputError::new("<schedule>", format!("{found} {when}").trim(), expected)
}

/// Characters of a schedule that a replay line carries instead of the seed.
const LONGEST_SCHEDULE: usize = 1000;

type Measured = (Ended, u64, Vec<(&'static str, u64)>, u64, Option<Followed>);

fn report(world: &World, spec: &Spec, setup: &Setup, measured: Measured) -> Report {
    let (ended, steps, failed, forks_before, followed) = measured;
    let sys = &world.sys;
    let outcomes = *sys.core.fork_outcomes.borrow();
    let truth = sys.truth.borrow().clone().unwrap_or_default();
    let errors = world.done.fork_errors.borrow();
    Report {
        replay: spec.to_string(),
        hook: setup.system.design.hook.name(),
        design: (setup.system.design != setup.system.design.hook.into()).then(|| setup.system.design.to_string()),
        forks: sys.total_forks.get() - forks_before,
        threads: truth.threads(),
        fork_errors: errors.iter().map(|(errno, count)| (errno.to_string(), *count)).collect(),
        exits: world.done.exits.get(),
        execs: world.done.execs.get(),
        events_sent: outcomes.delivered + outcomes.nobody + outcomes.no_copy,
        events: outcomes.into(),
        listeners: world.listeners.iter().map(|listener| listener_report(world, listener)).collect(),
        cost: cost::table(setup),
        failed_allocations: failed,
        violations: sys.m.violations().clone(),
        followed,
        steps,
        ended: if ended == Ended::Deadlock { "deadlock" } else { "quiet" },
        trace_hash: sys.m.trace.hash().expect("started before the run"),
    }
}

fn listener_report(world: &World, listener: &Listener) -> ListenerReport {
    let heard = listener.heard.borrow();
    let lost = listener.lost(&world.sys);
    let truth = world.sys.truth.borrow();
    let verdict = truth.as_ref().map(|truth| heard.tree.compare(truth)).unwrap_or_default();
    ListenerReport {
        name: listener.name.clone(),
        received: heard.received,
        lost: lost.total(),
        why: Why { full: lost.full, latched: lost.latched, no_copy: lost.no_copy },
        told: heard.overruns,
        missing_numbers: heard.numbers.missing(),
        double_numbers: heard.numbers.doubles,
        late_numbers: heard.numbers.late,
        tree: Tree { right: verdict.right, wrong: verdict.wrong, missing: verdict.missing, phantom: verdict.phantom },
        messages: heard.messages.iter().map(|message| sim::Value::shown(message)).collect(),
    }
}
