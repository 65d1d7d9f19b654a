//! Every run within stated bounds, each kind of run once.
//!
//! Two runs are of one kind if they differ only in the order of neighbouring steps that commute. This strategy runs one of each
//! kind, by source sets and sleep sets (Abdulla, Aronis, Jonsson, Sagonas, "Optimal dynamic partial order reduction", 2014):
//! after each run it looks for *races*, pairs of steps that touched the same object and could have come in the other order,
//! and plans a run with the other order (`race.rs`). A *sleep set* keeps it from planning what it has seen.
//!
//! Answers to other questions (a failing allocation, a branch) are no matter of order: all of them are tried.
//!
//! With a bound on preemptions nothing is reduced: the number of preemptions is no property of the kind of a run, and a kind
//! might be represented by a run beyond the bound.

use std::rc::Rc;

use super::race::Races;
use super::{Counted, GivenUp, Ran, Strategy};
use crate::choice::{Chooser, Needs, Question, STOP};
use crate::lane::LaneName;
use crate::touch::{Access, CPUS, Object, RUNQUEUE};

/// What [`Verdict::Proved`](super::Verdict::Proved) is said of, beside the faults that a trial allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// How often a lane that could go on is displaced, at the most.
    pub preemptions: Option<u32>,
    /// Steps of a run, at the most; a longer one is cut off there, and its end is not looked at.
    pub steps: Option<u32>,
}

/// What one step touched, in order, each object once for each kind of access.
pub(super) type Touches = Vec<(Object, Access)>;

/// A set of lanes, a bit each.
pub(super) type LaneSet = u64;

/// One step of the run that is done, or that is being done: what else could have happened in its place.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Who could have stepped, in the machine's order.
    enabled: Vec<u8>,
    /// Who did. The first node, before any step, has nobody.
    pub(super) ran: u8,
    /// Its how-manieth step this is, from 1.
    pub(super) nth: u32,
    /// Who is to be tried here, and who was.
    wanted: LaneSet,
    done: LaneSet,
    /// Lanes whose next step need not be tried here: it was, earlier, and nothing since has met it.
    sleep: Vec<(u8, Rc<Touches>)>,
    /// Other questions in this step: how many answers, and which one is given.
    data: Vec<(u32, u32)>,
    /// Of this run.
    pub(super) touches: Touches,
    /// Whom it woke.
    pub(super) woke: Vec<u8>,
    /// Of all answers to the other questions so far.
    seen: Touches,
    /// Preemptions up to here.
    preemptions: u32,
    /// Another search tries the alternatives.
    fixed: bool,
}

impl Node {
    pub(super) fn enabled_set(&self) -> LaneSet {
        self.enabled.iter().fold(0, |set, lane| set | bit(*lane))
    }

    /// A race was found that wants one of these lanes to go first here, best the one at the front.
    pub(super) fn want(&mut self, initials: &[u8]) {
        let set = initials.iter().fold(0, |set, lane| set | bit(*lane));
        if self.fixed || (self.wanted | self.done) & set != 0 {
            return;
        }
        match initials.iter().find(|lane| self.enabled.contains(lane)) {
            Some(lane) => self.wanted |= bit(*lane),
            // Nobody of them can run here without a step that stands in between: whoever leads there.
            None => self.wanted |= self.enabled_set(),
        }
    }
}

pub(super) fn bit(lane: u8) -> LaneSet {
    1 << lane
}

/// See the module's page.
#[derive(Debug, Default)]
pub struct Exhaustive {
    bounds: Bounds,
    nodes: Vec<Node>,
    /// Steps begun in this run: the node of the current one.
    at: usize,
    /// Other questions asked in the current step.
    data_at: usize,
    lanes: Vec<LaneName>,
    races: Races,
    /// Who cannot go on, and with what.
    stuck: Vec<(u8, Object, Access)>,
    /// The first node that this run does not share with the one before it.
    fresh: usize,
    /// The answers of the beginning that this search is about, if another one has the rest.
    prefix: Vec<u32>,
    /// How many of them were given: nodes that are once made keep them.
    given: usize,
    begun: bool,
    pruned: bool,
    /// Who runs where matters.
    placement: bool,
    given_up: GivenUp,
}

impl Exhaustive {
    /// Everything within these bounds.
    #[must_use]
    pub fn new(bounds: Bounds) -> Exhaustive {
        Exhaustive::under(bounds, Vec::new())
    }

    /// Everything that begins with these answers, to questions with at least two.
    #[must_use]
    pub fn under(bounds: Bounds, prefix: Vec<u32>) -> Exhaustive {
        Exhaustive { bounds, prefix, ..Exhaustive::default() }
    }

    fn reduces(&self) -> bool {
        self.bounds.preemptions.is_none()
    }

    fn lane(&mut self, name: LaneName) -> u8 {
        let at = self.lanes.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.lanes.push(name);
            self.lanes.len() - 1
        });
        assert!(at < 64, "a scenario that is explored has at most 64 lanes");
        u8::try_from(at).expect("below 64")
    }

    /// The next answer of the prefix, while there is one.
    fn prescribed(&mut self, n: u32) -> Option<u32> {
        let answer = self.prefix.get(self.given).filter(|_| n > 1)?;
        self.given += 1;
        Some((*answer).min(n - 1))
    }

    /// Whoever steps next, among these: a new node.
    fn grow(&mut self, names: &[LaneName]) -> u32 {
        let enabled: Vec<u8> = names.iter().map(|name| self.lane(*name)).collect();
        let prescribed = self.prescribed(u32::try_from(names.len()).expect("few lanes"));
        let before = &self.nodes[self.at];
        let displaces = self.at > 0 && enabled.contains(&before.ran);
        let preempts = |lane: u8| displaces && lane != before.ran;
        let mut node = Node { preemptions: before.preemptions, fixed: prescribed.is_some(), ..Node::default() };
        if self.reduces() {
            node.sleep = before.asleep_after();
        }
        let sleeps = |lane: u8| node.sleep.iter().any(|(asleep, _)| *asleep == lane);
        let pick = match prescribed {
            Some(pick) => Some(pick as usize),
            None => enabled.iter().position(|lane| !sleeps(*lane)),
        };
        let Some(pick) = pick else {
            self.pruned = true;
            return STOP;
        };
        if self.bounds.steps.is_some_and(|most| self.at >= most as usize) {
            self.given_up.cut += 1;
            return STOP;
        }
        if let Some(most) = self.bounds.preemptions {
            let affordable = |lane: u8| node.preemptions + u32::from(preempts(lane)) <= most;
            node.wanted = enabled.iter().filter(|lane| affordable(**lane)).fold(0, |set, lane| set | bit(*lane));
        }
        node.ran = enabled[pick];
        node.wanted |= bit(node.ran);
        node.preemptions += u32::from(preempts(node.ran));
        node.nth = self.nth(node.ran, self.nodes.len());
        node.enabled = enabled;
        self.nodes.push(node);
        self.at += 1;
        u32::try_from(pick).expect("few lanes")
    }

    fn who_steps(&mut self, names: &[LaneName]) -> u32 {
        self.data_at = 0;
        if self.at + 1 == self.nodes.len() {
            return self.grow(names);
        }
        self.at += 1;
        let node = &self.nodes[self.at];
        let wanted = self.lanes[usize::from(node.ran)];
        let at = names.iter().position(|name| *name == wanted);
        let at = at.expect("the same answers lead to the same lanes: a trial must be deterministic");
        u32::try_from(at).expect("few lanes")
    }

    /// Gives every step that this run did not share with the last one to the races.
    fn look_for_races(&mut self) {
        if self.reduces() {
            for i in self.fresh.max(1)..=self.at {
                self.races.absorb(&mut self.nodes, i);
            }
            // What those who could not go on would have done might have come first, too.
            for (lane, object, access) in std::mem::take(&mut self.stuck) {
                let nth = self.nth(lane, self.nodes.len());
                let step = self.nodes.len();
                self.nodes.push(Node { ran: lane, nth, touches: vec![(object, access)], ..Node::default() });
                self.races.absorb(&mut self.nodes, step);
                self.races.retract(&self.nodes, step);
                self.nodes.pop();
            }
        }
    }

    /// The how-manieth step of a lane it would be as this node.
    fn nth(&self, lane: u8, at: usize) -> u32 {
        let before = self.nodes[1..at].iter().filter(|earlier| earlier.ran == lane).count();
        1 + u32::try_from(before).expect("fewer steps than 2^32")
    }

    /// Takes the last node back to what has not been tried there. False: nothing is left.
    fn advance(&mut self) -> bool {
        let node = self.nodes.last_mut().expect("the root is still there");
        let touches = std::mem::take(&mut node.touches);
        node.woke.clear();
        for touch in touches {
            if !node.seen.contains(&touch) {
                node.seen.push(touch);
            }
        }
        while let Some((n, answer)) = node.data.pop() {
            if answer + 1 < n {
                node.data.push((n, answer + 1));
                return true;
            }
        }
        if node.fixed {
            return false;
        }
        node.done |= bit(node.ran);
        let seen = Rc::new(std::mem::take(&mut node.seen));
        if self.bounds.preemptions.is_none() {
            node.sleep.push((node.ran, seen));
        }
        let asleep = node.sleep.iter().fold(0, |set, (lane, _)| set | bit(*lane));
        let left = node.wanted & !node.done & !asleep;
        let Some(next) = node.enabled.iter().copied().find(|lane| left & bit(*lane) != 0) else { return false };
        self.take(next);
        true
    }

    /// The last node's step is this lane's now.
    fn take(&mut self, lane: u8) {
        let at = self.nodes.len() - 1;
        let nth = self.nth(lane, at);
        let before = &self.nodes[at - 1];
        let preempts = at > 1 && lane != before.ran && self.nodes[at].enabled.contains(&before.ran);
        let preemptions = before.preemptions + u32::from(preempts);
        let node = &mut self.nodes[at];
        (node.ran, node.nth, node.preemptions) = (lane, nth, preemptions);
    }
}

impl Node {
    /// Who sleeps behind this step: whoever slept before it, or was tried in its place, and does not meet it.
    fn asleep_after(&self) -> Vec<(u8, Rc<Touches>)> {
        let meets = |theirs: &Touches| {
            theirs
                .iter()
                .any(|(object, how)| self.touches.iter().any(|(other, their)| other == object && !how.commutes(*their)))
        };
        let mut asleep = self.sleep.clone();
        asleep.retain(|(lane, theirs)| *lane != self.ran && !self.woke.contains(lane) && !meets(theirs));
        asleep
    }
}

impl Chooser for Exhaustive {
    fn choose(&mut self, question: Question<'_>, n: u32) -> u32 {
        if let Question::Lane(names) = question {
            return self.who_steps(names);
        }
        let at = self.data_at;
        self.data_at += 1;
        if at == self.nodes[self.at].data.len() {
            let answer = self.prescribed(n);
            // A prescribed answer has no alternatives here: as if it were the only one.
            let entry = answer.map_or((n, 0), |answer| (answer + 1, answer));
            self.nodes[self.at].data.push(entry);
        }
        self.nodes[self.at].data[at].1
    }

    fn needs(&self) -> Needs {
        Needs::Touches
    }

    fn touched(&mut self, object: Object, access: Access) {
        if (object == RUNQUEUE || object == CPUS) && !self.placement {
            return;
        }
        let touches = &mut self.nodes[self.at].touches;
        if !touches.contains(&(object, access)) {
            touches.push((object, access));
        }
    }

    fn stepped(&mut self, _lane: LaneName) {
        let ran = self.nodes[self.at].ran;
        self.stuck.retain(|(lane, ..)| *lane != ran);
    }

    fn blocked(&mut self, lane: LaneName, object: Object, access: Access) {
        let lane = self.lane(lane);
        if object != RUNQUEUE || self.placement {
            self.stuck.push((lane, object, access));
        }
    }

    fn woke(&mut self, lane: LaneName) {
        let lane = self.lane(lane);
        if self.at > 0 {
            self.nodes[self.at].woke.push(lane);
        }
    }
}

impl Strategy for Exhaustive {
    fn next(&mut self) -> bool {
        if !self.begun {
            self.begun = true;
            self.nodes.push(Node::default());
        } else {
            loop {
                let last = self.nodes.len() - 1;
                if self.reduces() {
                    self.races.retract(&self.nodes, last);
                }
                if last == 0 {
                    // Questions before the first step.
                    let root = &mut self.nodes[0];
                    while let Some((n, answer)) = root.data.pop() {
                        if answer + 1 < n {
                            root.data.push((n, answer + 1));
                            break;
                        }
                    }
                    if root.data.is_empty() {
                        return false;
                    }
                    break;
                }
                if self.advance() {
                    break;
                }
                self.nodes.pop();
            }
            self.fresh = self.nodes.len() - 1;
        }
        (self.at, self.data_at, self.pruned) = (0, 0, false);
        self.stuck.clear();
        true
    }

    fn ran(&mut self, ran: &Ran) -> Counted {
        if ran.placement && !self.placement {
            let (bounds, prefix) = (self.bounds, std::mem::take(&mut self.prefix));
            *self = Exhaustive { placement: true, ..Exhaustive::under(bounds, prefix) };
            return Counted::Restart;
        }
        self.look_for_races();
        if self.pruned {
            self.given_up.repeated += 1;
            return Counted::Pruned;
        }
        Counted::Run
    }

    fn complete(&self) -> Option<GivenUp> {
        Some(self.given_up)
    }
}
