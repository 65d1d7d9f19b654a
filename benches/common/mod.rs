//! A kernel for the benches: booted, with one listener, its forks made by init.

use std::rc::Rc;

use fork_model::exit::{WaitFor, do_exit, wait4};
use fork_model::fork::{do_fork, flags, fork_idle};
use fork_model::init::boot;
use fork_model::pid::PID_MAX_LIMIT;
use fork_model::{System, SystemConfig, TaskRef};
use sim::{Calm, Machine};
use uevent::af_netlink::{Caller, NETLINK_KOBJECT_UEVENT, SockRef, msg, netlink_bind, netlink_create, netlink_recvmsg};

/// Idle tasks of 64 CPUs: they have no pid, so that as many tasks live as there are pids, and pids are left to fork with.
const IDLE_TASKS: usize = 64;

/// How the child of a bench is released.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Released {
    /// At its exit: the parent ignores SIGCHLD.
    ByItself,
    /// By the parent's wait4().
    ByParent,
}

pub struct Kernel {
    pub sys: Rc<System>,
    /// Who forks in the bench. The crowd are children of init: wait4() walks the caller's children, in the kernel, too.
    parent: TaskRef,
    sock: SockRef,
    released: Released,
    message: Vec<u8>,
}

impl Kernel {
    /// With so many tasks alive.
    pub fn with_tasks(live: usize, released: Released) -> Kernel {
        let config = SystemConfig { mempages: 1 << 30, ..SystemConfig::default() };
        let sys = System::new(Machine::new(sim::Config::default(), Calm), config).expect("it can be built");
        let (init, sock) = block_on(async {
            let init = boot(&sys).await.expect("it boots");
            sys.pids.pid_max.set(PID_MAX_LIMIT);
            let sock = netlink_create(&sys.core, NETLINK_KOBJECT_UEVENT).await.expect("a socket");
            let caller = Caller { pid: 500, net_admin: true };
            netlink_bind(&sys.core, sock, caller, 0, 1).await.expect("bound");
            (init, sock)
        });
        let mut kernel = Kernel { sys, parent: init, sock, released, message: Vec::new() };
        block_on(async {
            let parent = kernel.fork().await;
            for _ in 0..IDLE_TASKS {
                fork_idle(&kernel.sys, init).await.expect("an idle task");
            }
            while kernel.sys.live_tasks() < live {
                kernel.fork().await;
            }
            kernel.parent = kernel.sys.find_task_by_pid(parent).expect("alive");
            let sighand = kernel.sys.task(kernel.parent, |t| t.sighand);
            kernel.sys.sighand(sighand, |s| s.ignores_sigchld = released == Released::ByItself);
        });
        kernel
    }

    /// Fork, notify, receive: the child's pid.
    pub async fn fork(&mut self) -> i32 {
        let pid = do_fork(&self.sys, self.parent, flags::SIGCHLD, None).await.expect("room for one more");
        self.message.clear();
        let got = netlink_recvmsg(&self.sys.core, self.sock, &mut self.message, 4096, msg::DONTWAIT).await;
        got.expect("its event");
        pid
    }

    /// Exit, and wait if the child has to be waited for. Its structure is gone then.
    pub async fn exit(&mut self, pid: i32) {
        let child = self.sys.find_task_by_pid(pid).expect("alive");
        do_exit(&self.sys, child, 0).await;
        if self.released == Released::ByParent {
            wait4(&self.sys, self.parent, WaitFor::Pid(pid), false).await.expect("a zombie");
        }
    }
}

/// Outside of every lane nobody else can run: a kernel function is ready at its first poll.
pub fn block_on<R>(work: impl Future<Output = R>) -> R {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(work).poll(&mut context) {
        std::task::Poll::Ready(result) => result,
        std::task::Poll::Pending => panic!("nobody is there to wait for"),
    }
}
