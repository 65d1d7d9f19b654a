//! The process tree that a listener to process events believes in, and how far that is from `/proc`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use uevent::wire::connector::ForkIds;
use uevent::wire::proc_event::{Ids, What};

use super::proc_fs::Process;

/// What a message is taken to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reads {
    /// Thread ids and process ids, as process events have them.
    #[default]
    Ids,
    /// Two pids and no more, as the patch's messages have them: a thread looks like a process.
    Pids,
}

/// A listener's belief: who is alive, and whose child it is.
#[derive(Clone, Debug, Default)]
pub struct LiveTree {
    reads: Reads,
    /// Threads that are alive, by id.
    threads: BTreeMap<i32, Thread>,
    /// Whoever an event named since [`LiveTree::forget_touched`].
    touched: BTreeSet<i32>,
    /// Something was lost since the last [`LiveTree::resync`].
    lost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Thread {
    /// Its process.
    tgid: i32,
    /// The parent of its process, as this was told.
    parent: i32,
}

/// A process about which the listener and `/proc` are not of one mind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Divergence {
    /// Which process.
    pub pid: i32,
    /// Its parent, as the listener believes; none: it does not know the process.
    pub believed: Option<i32>,
    /// Its parent, as `/proc` says; none: there is no such process.
    pub truth: Option<i32>,
    /// How that comes.
    pub why: Why,
}

/// How a listener comes to believe something else than what is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// Its parent has exited, and the kernel gave it to another: of that no message is sent.
    Reparented,
    /// What it takes for a process is a thread: a message of two pids cannot say so.
    Thread,
    /// Messages were lost, and the listener has not looked at `/proc` since.
    Loss,
    /// The parent that it believes in lives, and is a child of the real one: `CLONE_PARENT`, where the caller was named.
    /// Today's process events name the parent.
    CloneParent,
    /// None of these: a fault of the listener or of the kernel.
    Unexplained,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Reparented => "reparented: its parent has exited, and no message says who got it",
            Why::Thread => "a thread, which a message of two pids cannot tell from a process",
            Why::Loss => "messages were lost",
            Why::CloneParent => "CLONE_PARENT: the caller was named, not the parent",
            Why::Unexplained => "unexplained",
        })
    }
}

impl LiveTree {
    /// A listener that knows nobody, and takes messages to say this.
    #[must_use]
    pub fn new(reads: Reads) -> LiveTree {
        LiveTree { reads, ..LiveTree::default() }
    }

    /// Believes what `/proc` says: at the beginning, and after a loss. Returns how many processes that changed.
    pub fn resync(&mut self, truth: &BTreeMap<i32, Process>) -> usize {
        let before = self.parents();
        self.threads.clear();
        for (&pid, process) in truth.iter().filter(|(_, process)| is_alive(process)) {
            let thread = Thread { tgid: pid, parent: process.parent };
            self.threads.extend(process.threads.iter().map(|&tid| (tid, thread)));
        }
        self.lost = false;
        let after = self.parents();
        let pids: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        pids.into_iter().filter(|pid| before.get(pid) != after.get(pid)).count()
    }

    /// Takes one event.
    pub fn hear(&mut self, what: &What) {
        match what {
            What::Fork(ids) => self.fork(ids),
            // What its other threads were is told by their own exits; who executes has the process's id from here on.
            What::Exec(ids) => {
                self.touched.insert(ids.tgid);
                let parent = self.threads.values().find(|thread| thread.tgid == ids.tgid).map(|thread| thread.parent);
                self.threads.retain(|_, thread| thread.tgid != ids.tgid);
                if let Some(parent) = parent {
                    self.threads.insert(ids.tgid, Thread { tgid: ids.tgid, parent });
                }
            }
            What::Exit { ids, .. } => self.exit(*ids),
            _ => {}
        }
    }

    fn fork(&mut self, ids: &ForkIds) {
        let (tgid, parent) = match self.reads {
            Reads::Ids => (ids.child_tgid, ids.parent_tgid),
            Reads::Pids => (ids.child_pid, ids.parent_pid),
        };
        self.touched.extend([ids.child_pid, ids.child_tgid]);
        self.threads.insert(ids.child_pid, Thread { tgid, parent });
    }

    fn exit(&mut self, ids: Ids) {
        self.touched.extend([ids.pid, ids.tgid]);
        self.threads.remove(&ids.pid);
    }

    /// Something was lost: what is believed may be wrong until the next [`LiveTree::resync`].
    pub fn lose(&mut self) {
        self.lost = true;
    }

    /// From now on [`LiveTree::compare`] looks at whoever no later event names: of the others, `/proc` and the messages
    /// may be of different times.
    pub fn forget_touched(&mut self) {
        self.touched.clear();
    }

    /// The believed parent of each process that is believed to be alive.
    #[must_use]
    pub fn parents(&self) -> BTreeMap<i32, i32> {
        self.threads.values().map(|thread| (thread.tgid, thread.parent)).collect()
    }

    /// Holds the belief against `/proc`, read since [`LiveTree::forget_touched`]: how many processes were compared, and
    /// every difference, by pid.
    #[must_use]
    pub fn compare(&self, truth: &BTreeMap<i32, Process>) -> (usize, Vec<Divergence>) {
        let believed = self.parents();
        let truth_of = |pid: &i32| truth.get(pid).filter(|process| is_alive(process)).map(|process| process.parent);
        let pids: BTreeSet<i32> = believed.keys().chain(truth.keys()).copied().collect();
        let mut compared = 0;
        let mut divergences = Vec::new();
        for pid in pids.difference(&self.touched) {
            let (believed, told) = (believed.get(pid).copied(), truth_of(pid));
            compared += usize::from(believed.is_some() || told.is_some());
            if believed != told {
                let why = self.explain(*pid, believed, told, truth);
                divergences.push(Divergence { pid: *pid, believed, truth: told, why });
            }
        }
        (compared, divergences)
    }

    fn explain(&self, pid: i32, believed: Option<i32>, told: Option<i32>, truth: &BTreeMap<i32, Process>) -> Why {
        let is_thread = |tid: i32, of: &dyn Fn(i32) -> bool| {
            truth.iter().any(|(&pid, process)| pid != tid && of(pid) && process.threads.contains(&tid))
        };
        match (believed, told) {
            _ if self.lost => Why::Loss,
            (Some(_), None) if is_thread(pid, &|_| true) => Why::Thread,
            (Some(parent), Some(real)) if is_thread(parent, &|pid| pid == real) => Why::Thread,
            (Some(parent), Some(_)) if !truth.get(&parent).is_some_and(is_alive) => Why::Reparented,
            (Some(parent), Some(real)) if truth.get(&parent).is_some_and(|process| process.parent == real) => {
                Why::CloneParent
            }
            _ => Why::Unexplained,
        }
    }
}

/// A zombie has exited, for a listener; but a leader that has exited before its threads is a process still.
fn is_alive(process: &Process) -> bool {
    !process.zombie || process.threads.len() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(parent: i32, threads: &[i32]) -> Process {
        Process { parent, comm: String::new(), zombie: false, threads: threads.iter().copied().collect() }
    }

    fn fork(parent: i32, child: i32) -> What {
        What::Fork(ForkIds { parent_pid: parent, parent_tgid: parent, child_pid: child, child_tgid: child })
    }

    fn exit(pid: i32, tgid: i32) -> What {
        What::Exit { ids: Ids { pid, tgid }, code: 0, signal: 17, parent: Ids::default() }
    }

    fn diverges(tree: &mut LiveTree, truth: &BTreeMap<i32, Process>) -> Vec<(i32, Why)> {
        tree.forget_touched();
        tree.compare(truth).1.into_iter().map(|divergence| (divergence.pid, divergence.why)).collect()
    }

    #[test]
    fn what_is_told_is_believed() {
        let mut tree = LiveTree::default();
        tree.resync(&BTreeMap::from([(1, process(0, &[1]))]));
        for what in [fork(1, 10), fork(10, 11), exit(11, 11), fork(10, 12)] {
            tree.hear(&what);
        }
        let truth = BTreeMap::from([(1, process(0, &[1])), (10, process(1, &[10])), (12, process(10, &[12]))]);
        assert_eq!(diverges(&mut tree, &truth), []);
    }

    #[test]
    fn of_a_childs_new_parent_nobody_is_told() {
        let mut tree = LiveTree::default();
        tree.resync(&BTreeMap::from([(1, process(0, &[1]))]));
        [fork(1, 10), fork(10, 11), exit(10, 10)].iter().for_each(|what| tree.hear(what));
        let truth = BTreeMap::from([(1, process(0, &[1])), (11, process(1, &[11]))]);
        assert_eq!(diverges(&mut tree, &truth), [(11, Why::Reparented)]);
    }

    #[test]
    fn a_sibling_that_is_taken_for_a_child_was_made_with_clone_parent() {
        let truth = BTreeMap::from([(1, process(0, &[1])), (10, process(1, &[10])), (11, process(1, &[11]))]);
        let mut tree = LiveTree::default();
        tree.resync(&truth);
        tree.hear(&fork(10, 11));
        assert_eq!(diverges(&mut tree, &truth), [(11, Why::CloneParent)]);
        // Of any other living parent there is no such story.
        tree.hear(&fork(11, 10));
        tree.hear(&fork(10, 1));
        assert_eq!(diverges(&mut tree, &truth)[0], (1, Why::Unexplained));
    }

    #[test]
    fn two_pids_cannot_tell_a_thread_from_a_process() {
        let thread = What::Fork(ForkIds { parent_pid: 1, parent_tgid: 1, child_pid: 11, child_tgid: 10 });
        let by_thread = What::Fork(ForkIds { parent_pid: 11, parent_tgid: 10, child_pid: 12, child_tgid: 12 });
        let truth = BTreeMap::from([(1, process(0, &[1])), (10, process(1, &[10, 11])), (12, process(10, &[12]))]);
        for (reads, expected) in [(Reads::Ids, vec![]), (Reads::Pids, vec![(11, Why::Thread), (12, Why::Thread)])] {
            let mut tree = LiveTree::new(reads);
            tree.resync(&BTreeMap::from([(1, process(0, &[1]))]));
            [fork(1, 10), thread, by_thread].iter().for_each(|what| tree.hear(what));
            assert_eq!(diverges(&mut tree, &truth), expected, "{reads:?}");
        }
    }

    #[test]
    fn a_process_lives_as_long_as_one_of_its_threads() {
        let mut tree = LiveTree::default();
        tree.resync(&BTreeMap::from([(10, process(0, &[10, 11]))]));
        tree.hear(&exit(10, 10));
        assert_eq!(tree.parents(), BTreeMap::from([(10, 0)]));
        tree.hear(&exit(11, 10));
        assert_eq!(tree.parents(), BTreeMap::new());
    }

    #[test]
    fn a_thread_that_executes_becomes_the_process() {
        let mut tree = LiveTree::default();
        tree.resync(&BTreeMap::from([(10, process(0, &[10, 11]))]));
        tree.hear(&exit(10, 10));
        tree.hear(&What::Exec(Ids { pid: 10, tgid: 10 }));
        tree.hear(&exit(10, 10));
        assert_eq!(tree.parents(), BTreeMap::new());
    }

    #[test]
    fn a_loss_explains_what_differs_until_the_next_look_at_proc() {
        let mut tree = LiveTree::default();
        let truth = BTreeMap::from([(1, process(0, &[1])), (10, process(1, &[10]))]);
        tree.resync(&BTreeMap::from([(1, process(0, &[1]))]));
        assert_eq!(diverges(&mut tree, &truth), [(10, Why::Unexplained)]);
        tree.lose();
        assert_eq!(diverges(&mut tree, &truth), [(10, Why::Loss)]);
        assert_eq!(tree.resync(&truth), 1);
        assert_eq!(diverges(&mut tree, &truth), []);
    }

    #[test]
    fn whoever_was_named_meanwhile_is_not_compared() {
        let mut tree = LiveTree::default();
        tree.resync(&BTreeMap::new());
        tree.forget_touched();
        tree.hear(&fork(1, 10));
        assert_eq!(tree.compare(&BTreeMap::new()), (0, vec![]));
    }
}
