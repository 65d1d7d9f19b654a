//! What the tasks of a scenario do.

use std::cell::RefCell;
use std::rc::Rc;

use fork_model::TaskRef;
use fork_model::exec::do_execve;
use fork_model::exit::{WaitFor, do_exit, sigcont, wait4};
use fork_model::fork::do_fork;
use fork_model::sched::Work;
use sim::LaneName;
use sim::touch::{Access, Object};

use crate::lab::forge::forge;
use crate::lab::world::{Done, World};
use crate::scenario_file::{Action, ScenarioFile, SigChld, Task};

/// Lanes of a program, as an explorer calls their number.
const BORN: Object = Object::named("lanes of a program");

/// A scenario on its way.
pub struct Play {
    world: Rc<World>,
    scenario: Rc<ScenarioFile>,
    /// How many lanes of each program there were.
    born: RefCell<Vec<usize>>,
}

/// The name of the `n`-th lane of a program, from 0: `c`, `cB`, … `cZ`, `cAA`: unique, and free of digits.
fn lane_name(program: &str, n: usize) -> LaneName {
    if n == 0 {
        return program.into();
    }
    let mut suffix = String::new();
    let mut rest = n + 1;
    while rest > 0 {
        suffix.insert(0, char::from(b'A' + u8::try_from((rest - 1) % 26).expect("below 26")));
        rest = (rest - 1) / 26;
    }
    LaneName::from_text(&format!("{program}{suffix}")).expect("a scenario's names leave room for the suffix")
}

impl Play {
    /// A scenario in a world whose roots are its tasks.
    #[must_use]
    pub fn new(world: &Rc<World>, scenario: impl Into<Rc<ScenarioFile>>) -> Rc<Play> {
        let scenario = scenario.into();
        let born = RefCell::new(vec![0; scenario.tasks.len()]);
        Rc::new(Play { world: world.clone(), scenario, born })
    }

    /// Sets its tasks free.
    pub fn start(self: &Rc<Play>) {
        for (task, me) in self.scenario.boots().zip(&self.world.roots) {
            let program = self.program(&task.name);
            self.world.sys.m.spawn(self.next_name(program), perform(self.clone(), program, *me));
        }
    }

    /// The number of a program.
    fn program(&self, name: &str) -> usize {
        let at = self.scenario.tasks.iter().position(|task| task.name == name);
        at.expect("the file was checked: every program exists")
    }

    fn task(&self, program: usize) -> &Task {
        &self.scenario.tasks[program]
    }

    fn next_name(&self, program: usize) -> LaneName {
        let name = &self.task(program).name;
        // Which of several lanes of one program gets which name.
        self.world.sys.m.touch(BORN.part(Object::named(name).short()), Access::Write);
        let n = &mut self.born.borrow_mut()[program];
        *n += 1;
        lane_name(name, *n - 1)
    }
}

/// A task's life.
async fn perform(play: Rc<Play>, program: usize, me: TaskRef) {
    let sys = play.world.sys.clone();
    if play.task(program).sigchld == SigChld::Ignore {
        let sighand = sys.fixed(me, |t| t.sighand);
        sys.sighand(sighand, |s| s.ignores_sigchld = true);
    }
    let mut children: Vec<(usize, i32)> = Vec::new();
    for action in &play.task(program).does {
        sys.m.user_point().await;
        match action {
            Action::Fork { program, flags, times } => {
                let program = play.program(program);
                for _ in 0..*times {
                    fork(&play, me, program, *flags, &mut children).await;
                }
            }
            Action::Exec => {
                do_execve(&sys, me).await;
                Done::count(&play.world.done.execs);
            }
            Action::Exit(code) => {
                Done::count(&play.world.done.exits);
                do_exit(&sys, me, (*code).into()).await;
                return;
            }
            Action::Wait(which) => {
                let which = child_of(&mut children, which.as_deref().map(|name| play.program(name)));
                if wait4(&sys, me, which, false).await.is_ok() {
                    Done::count(&play.world.done.waits);
                }
            }
            Action::Forge(listener) => {
                forge(&play.world, sys.fixed(me, |t| t.pid), listener).await;
            }
            Action::Cont(name) => {
                let wanted = play.program(name);
                let pid = children.iter().find(|(program, _)| *program == wanted).map(|(_, pid)| *pid);
                if let Some(child) = pid.and_then(|pid| sys.find_task_by_pid(pid)) {
                    sigcont(&sys, child).await;
                }
            }
        }
    }
}

/// The first child that runs this program; it is waited for once.
fn child_of(children: &mut Vec<(usize, i32)>, program: Option<usize>) -> WaitFor {
    let Some(program) = program else { return WaitFor::Any };
    let at = children.iter().position(|(child, _)| *child == program);
    // A child that was never made has no pid; pid 0 is nobody's child, so that the answer is -ECHILD.
    WaitFor::Pid(at.map_or(0, |at| children.remove(at).1))
}

async fn fork(play: &Rc<Play>, me: TaskRef, program: usize, flags: u64, children: &mut Vec<(usize, i32)>) {
    let child = play.clone();
    let work = Work::new(play.next_name(program), move |_, me| perform(child, program, me));
    let flags = u32::try_from(flags).expect("clone flags of 2.6.11 have 32 bits");
    match do_fork(&play.world.sys, me, flags, Some(work)).await {
        Ok(pid) => children.push((program, pid)),
        Err(errno) => play.world.done.fork_failed(errno),
    }
    play.world.tick();
}
