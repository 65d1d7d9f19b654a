//! Runs the model once, and reads the sizes from what it did.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use sim::mm::size_class;
use sim::trace::{Args, Event, What};
use sim::{Calm, Machine, Rule, Site, Value, Violation};
use uevent::af_netlink::{Caller, NETLINK_KOBJECT_UEVENT, netlink_bind, netlink_create};
use uevent::kobject::{KobjId, kobject_init, kobject_set_name};
use uevent::kobject_uevent::{
    HotplugOps, KobjectAction, add_hotplug_env_var, kobject_fork, kobject_hotplug, kobject_uevent_init,
};
use uevent::skbuff::SIZEOF_SKB_SHARED_INFO;
use uevent::vsprintf::Arg;
use uevent::{Core, site};

use super::{Allocation, Area, Layout, SkbRow, Text, parts};

/// The machine and the kernel whose memory is drawn.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MachineConstants {
    /// The cache line to which socket buffers are rounded; how many CPUs is of no importance here.
    pub machine: sim::Config,
    /// The size of `struct sk_buff`.
    pub kernel: uevent::Config,
}

/// There is no message to draw.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// The path cannot be made of named kobjects.
    #[error("device path {0:?}: expected a slash before each name, such as /block/sda")]
    Path(String),
    /// The kernel cannot be configured so.
    #[error(transparent)]
    Config(#[from] uevent::ConfigError),
    /// The kernel broke down over it before it was sent: what it said.
    #[error("the message was not sent: {0}")]
    Broken(String),
    /// The kernel gave up silently: too many variables, or one too long for what is left of the 1,024 bytes.
    #[error("the kernel sends nothing: the environment does not fit into 32 slots and 1,024 bytes")]
    NotSent,
}

/// Draws the memory of the patch's fork event: `fork@/fork_kobj`, two pids.
///
/// # Errors
/// [`LayoutError::Config`], or [`LayoutError::NotSent`] for a kernel without `CONFIG_KOBJECT_UEVENT`.
pub fn layout_fork(ppid: i32, cpid: i32, machine: &MachineConstants) -> Result<Layout, LayoutError> {
    let run = Run::new(machine, move |core| {
        Box::pin(async move {
            let kobj = named(&core, "fork_kobj", None).await;
            kobject_fork(&core, kobj, ppid, cpid).await;
        })
    })?;
    let table = run.allocation(site::FORK_ENVP)?;
    let skb = run.skb()?;
    let (slots, buffers) = parts::fork(&skb.bytes.0);
    let title = format!("process {ppid} made process {cpid}");
    let slot_count = parts::slot_count(table);
    Ok(Layout { title, by: "kobject_fork", table, slot_count, slots, buffers, skb, violations: run.violations })
}

/// Draws the memory of an event with keys, as `kobject_hotplug()` sends it and newer kernels do for everything.
///
/// `vars` are added by the subsystem, in order. A path that overflows the 1,024 bytes is drawn as long as the kernel sends
/// the event: see [`Layout::violations`].
///
/// # Errors
/// Those of [`LayoutError`]: a path that is none, variables that do not fit, a message over which the kernel dies.
pub fn layout_hotplug(
    action: KobjectAction,
    devpath: &str,
    subsystem: &str,
    seqnum: u64,
    vars: &[(&str, &str)],
    machine: &MachineConstants,
) -> Result<Layout, LayoutError> {
    let names: Vec<String> = match devpath.strip_prefix('/') {
        Some(names) if names.split('/').all(|name| !name.is_empty()) => names.split('/').map(str::to_owned).collect(),
        _ => return Err(LayoutError::Path(devpath.into())),
    };
    let ops = operations(subsystem, vars);
    let run = Run::new(machine, move |core| {
        Box::pin(async move {
            core.hotplug_seqnum.set(seqnum.wrapping_sub(1));
            let set_kobj = core.new_kobject();
            let kset = core.new_kset(set_kobj, Some(ops));
            let mut kobj = None;
            for name in names {
                kobj = Some(named(&core, &name, kobj).await);
            }
            let kobj = kobj.expect("a path has a name");
            core.kobj(kobj, |k| k.kset = Some(kset));
            kobject_hotplug(&core, kobj, action.number()).await;
        })
    })?;
    let (table, buffer) = (run.allocation(site::HOTPLUG_ENVP)?, run.allocation(site::HOTPLUG_BUFFER)?);
    let skb = run.skb()?;
    let Some(Value::List(env)) = run.call("call_usermodehelper", "envp") else { return Err(run.missing()) };
    let left = run.signed("op_hotplug", "buffer_size")?;
    let (slots, buffers) = parts::hotplug(env, buffer, left);
    let title = format!("{} {devpath}", String::from_utf8_lossy(action.string()));
    let slot_count = parts::slot_count(table);
    Ok(Layout { title, by: "kobject_hotplug", table, slot_count, slots, buffers, skb, violations: run.violations })
}

/// A subsystem that says its name and adds these variables.
fn operations(subsystem: &str, vars: &[(&str, &str)]) -> HotplugOps {
    let name = subsystem.as_bytes().to_vec();
    let vars: Vec<_> = vars.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
    HotplugOps {
        filter: None,
        name: Some(Box::new(move |_, _| Some(name.clone()))),
        hotplug: Some(Box::new(move |_, _, env| {
            let (mut index, mut len) = (0, 0);
            let mut add = |key: &[u8], value: &[u8]| {
                add_hotplug_env_var(env, &mut index, &mut len, b"%s=%s", &[Arg::Str(key), Arg::Str(value)])
            };
            match vars.iter().try_for_each(|(key, value)| add(key, value)) {
                Ok(()) => 0,
                Err(_) => -1,
            }
        })),
    }
}

async fn named(core: &Core, name: &str, parent: Option<KobjId>) -> KobjId {
    let kobj = core.new_kobject();
    core.kobj(kobj, |k| k.parent = parent);
    kobject_init(core, kobj);
    let named = kobject_set_name(core, kobj, b"%s", || vec![Arg::Str(name.as_bytes())]).await;
    named.expect("nothing fails on this machine");
    kobj
}

type Work = Pin<Box<dyn Future<Output = ()>>>;

/// What one listener's queue holds at the end.
#[derive(Clone, Copy)]
struct Queued {
    data_area: u32,
    tail_room: u32,
    truesize: u32,
}

/// One run of the model: its trace, and what the listener has.
struct Run {
    events: Vec<Event>,
    queued: Option<Queued>,
    violations: Vec<Violation>,
}

impl Run {
    fn new(machine: &MachineConstants, work: impl FnOnce(Rc<Core>) -> Work + 'static) -> Result<Run, LayoutError> {
        let m = Machine::new(machine.machine.clone(), Calm);
        let core = Rc::new(Core::new(m.clone(), machine.kernel.clone())?);
        let recording = m.trace.record();
        let queued = Rc::new(RefCell::new(None));
        m.spawn("layout", {
            let (core, queued) = (core.clone(), queued.clone());
            async move {
                kobject_uevent_init(&core).await.expect("nothing fails on this machine");
                let listener = netlink_create(&core, NETLINK_KOBJECT_UEVENT).await.expect("nothing fails here either");
                let caller = Caller { pid: 1, net_admin: true };
                netlink_bind(&core, listener, caller, 0, 1).await.expect("the port id is free");
                work(core.clone()).await;
                let first = core.sock(listener, |sock| sock.queue.front().copied());
                *queued.borrow_mut() = first.map(|skb| {
                    core.skb(skb, |skb| Queued {
                        data_area: skb.end,
                        tail_room: skb.tail_room().cast_unsigned(),
                        truesize: skb.truesize,
                    })
                });
            }
        });
        m.run();
        let violations = m.violations().clone();
        let queued = queued.take();
        Ok(Run { events: recording.take(), queued, violations })
    }

    /// Why there is nothing to draw.
    fn missing(&self) -> LayoutError {
        // The last thing that a kernel says is what it died of.
        let last = self.violations.last().map(|violation| violation.text.clone());
        last.map_or(LayoutError::NotSent, LayoutError::Broken)
    }

    /// Whether the kernel did: a byte written too many does not stop it.
    fn died(&self) -> bool {
        self.violations.iter().any(|violation| matches!(violation.rule, Rule::Bug | Rule::Oops | Rule::Deadlock))
    }

    fn alloc_size(&self, wanted: Site) -> Result<u32, LayoutError> {
        let size = self.events.iter().find_map(|event| match &event.what {
            What::Alloc { site, size, .. } if *site == wanted.0 => Some(*size),
            _ => None,
        });
        size.ok_or_else(|| self.missing())
    }

    fn allocation(&self, wanted: Site) -> Result<Allocation, LayoutError> {
        self.alloc_size(wanted).map(allocation)
    }

    /// An argument of the first call of this function.
    fn call(&self, wanted: &str, arg: &str) -> Option<&Value> {
        let args = self.events.iter().find_map(|event| matches_call(event, wanted))?;
        args.iter().find(|(name, _)| *name == arg).map(|(_, value)| value)
    }

    fn number(&self, func: &str, arg: &str) -> Result<u32, LayoutError> {
        u32::try_from(self.signed(func, arg)?).map_err(|_| self.missing())
    }

    fn signed(&self, func: &str, arg: &str) -> Result<i64, LayoutError> {
        match self.call(func, arg) {
            Some(Value::Int(n)) => Ok(*n),
            _ => Err(self.missing()),
        }
    }

    fn skb(&self) -> Result<SkbRow, LayoutError> {
        if self.died() {
            return Err(self.missing());
        }
        const BROADCAST: &str = "netlink_broadcast";
        let Some(Value::Bytes(bytes)) = self.call(BROADCAST, "data") else { return Err(self.missing()) };
        let header_len = bytes.iter().position(|byte| *byte == 0).map_or(bytes.len(), |nul| nul + 1);
        let len = self.number(BROADCAST, "len")?;
        let data_area = self.number(BROADCAST, "data_area")?;
        let trimmed = self.allocation(site::EXPAND_DATA).ok().zip(self.queued).map(|(kmalloc, queued)| {
            let Queued { data_area, tail_room, truesize } = queued;
            Area { data_area, tail_room, kmalloc, truesize }
        });
        Ok(SkbRow {
            alloc_size: self.number("alloc_skb", "size")?,
            head_size: self.alloc_size(site::SKB_HEAD)?,
            header_len,
            len: len as usize,
            bytes: Text(bytes.clone()),
            shared_info: SIZEOF_SKB_SHARED_INFO,
            sent: Area {
                data_area,
                tail_room: data_area - len,
                kmalloc: self.allocation(site::SKB_DATA)?,
                truesize: self.number(BROADCAST, "truesize")?,
            },
            trimmed,
        })
    }
}

fn allocation(size: u32) -> Allocation {
    Allocation { size, size_class: size_class(size) }
}

fn matches_call<'a>(event: &'a Event, wanted: &str) -> Option<&'a Args> {
    match &event.what {
        What::Enter { func, args } | What::Call { func, args, .. } if *func == wanted => Some(args),
        _ => None,
    }
}
