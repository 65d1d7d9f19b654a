//! A booted kernel with listeners, and programs that run on it.

#![allow(dead_code)] // Each test file is a crate of its own and uses a part.

use std::cell::RefCell;
use std::rc::Rc;

use forklab_fork_model::exit::do_exit;
use forklab_fork_model::fork::do_fork;
use forklab_fork_model::init::{boot, reap_orphans};
use forklab_fork_model::sched::Work;
use forklab_fork_model::signal::SIGCHLD;
use forklab_fork_model::{Design, Hook, System, SystemConfig, TaskRef};
use sim::{Chooser, Config, Ended, Errno, Machine, Question, Rule, Violation};
use uevent::af_netlink::{Caller, NETLINK_KOBJECT_UEVENT, SockRef, msg, netlink_bind, netlink_create, netlink_recvmsg};

/// A plain `fork()`.
pub const FORK: u32 = SIGCHLD.cast_unsigned();

/// Lets the first of these lanes step that can; where none can, the machine goes on by itself.
#[derive(Clone, Copy)]
pub struct FirstOf(pub &'static [&'static str]);

impl Chooser for FirstOf {
    fn choose(&mut self, question: Question<'_>, _n: u32) -> u32 {
        let Question::Lane(lanes) = question else { return 0 };
        let at = |wanted: &&str| lanes.iter().position(|lane| lane.as_str() == *wanted);
        self.0.iter().find_map(at).map_or(0, |at| u32::try_from(at).expect("few lanes"))
    }
}

/// A machine with this many CPUs and no preemption.
pub fn cpus(cpus: u32) -> Config {
    Config { cpus, ..Config::default() }
}

/// A kernel that has booted, with its init.
pub struct Stage {
    pub sys: Rc<System>,
    pub init: TaskRef,
    pub listeners: Vec<SockRef>,
}

impl Stage {
    /// Boots, and binds `listeners` sockets to group 1.
    pub fn new(machine: Config, chooser: impl Chooser + 'static, hook: Hook, listeners: i32) -> Stage {
        let config = SystemConfig { design: Design { hook, ..Design::default() }, ..SystemConfig::default() };
        let sys = System::new(Machine::new(machine, chooser), config).expect("it links");
        let init = run(&sys, async |sys| boot(&sys).await.expect("no fault was asked for"));
        let listeners = run(&sys, async move |sys| {
            let mut made = Vec::new();
            for pid in 1..=listeners {
                let sk = netlink_create(&sys.core, NETLINK_KOBJECT_UEVENT).await.expect("no fault was asked for");
                let root = Caller { pid, net_admin: true };
                netlink_bind(&sys.core, sk, root, pid, 1).await.expect("nobody has this port id");
                made.push(sk);
            }
            made
        });
        Stage { sys, init, listeners }
    }

    /// Runs a first process as lane `p`, and init, which reaps whatever comes to it.
    pub fn run<F: Future<Output = ()> + 'static>(
        &self,
        program: impl FnOnce(Rc<System>, TaskRef) -> F + 'static,
    ) -> Ended {
        let (sys, init) = (self.sys.clone(), self.init);
        self.sys.m.spawn("init", async move {
            let p = Work::new("p", program);
            do_fork(&sys, init, FORK, Some(p)).await.expect("no fault was asked for");
            reap_orphans(sys, init).await;
        });
        self.sys.m.run()
    }

    /// Everything that the listeners have got, listener by listener, as text.
    pub fn heard(&self) -> Vec<Vec<String>> {
        let listeners = self.listeners.clone();
        run(&self.sys, async move |sys| {
            let mut heard = Vec::new();
            for sk in listeners {
                heard.push(drain(&sys, sk).await);
            }
            heard
        })
    }

    /// The rules that were broken.
    pub fn violations(&self) -> Vec<Violation> {
        self.sys.m.violations().clone()
    }

    /// The one use after free that was found.
    pub fn use_after_free(&self) -> Violation {
        match &self.violations()[..] {
            [one] if one.rule == Rule::UseAfterFree => one.clone(),
            others => panic!("one use after free, not {others:?}"),
        }
    }
}

/// Reads until nothing is left, over lost messages.
async fn drain(sys: &System, sk: SockRef) -> Vec<String> {
    let mut heard = Vec::new();
    loop {
        let mut bytes = Vec::new();
        match netlink_recvmsg(&sys.core, sk, &mut bytes, 4000, msg::DONTWAIT).await {
            Ok(_) => heard.push(sim::Value::shown(&bytes)),
            Err(Errno::NoBufs) => {}
            Err(_) => return heard,
        }
    }
}

/// Runs kernel code in a lane of its own, to the end of everything.
pub fn run<R: 'static>(sys: &Rc<System>, work: impl AsyncFnOnce(Rc<System>) -> R + 'static) -> R {
    let result = Rc::new(RefCell::new(None));
    sys.m.spawn("t", {
        let (sys, result) = (sys.clone(), result.clone());
        async move {
            let value = work(sys).await;
            result.replace(Some(value));
        }
    });
    sys.m.run();
    result.take().expect("the lane came to its end")
}

/// A program that exits at once.
pub fn exits(name: &str) -> Work {
    Work::new(name, async |sys: Rc<System>, me| do_exit(&sys, me, 0).await)
}

/// From now on a task's children reap themselves.
pub fn ignore_sigchld(sys: &System, task: TaskRef) {
    sys.sighand(sys.task(task, |t| t.sighand), |s| s.ignores_sigchld = true);
}

/// The message of one fork, as a listener shows it.
pub fn event(parent: i32, child: i32) -> String {
    format!("fork@/fork_kobj\\0{parent}\\0{child}\\0")
}
