//! The same race, written for shuttle and for loom.

macro_rules! race {
    ($sync:path, $thread:path) => {
        pub fn race() {
            use std::collections::BTreeMap;
            use $sync as sync;
            use $thread as thread;

            let pids = sync::Arc::new(sync::Mutex::new(100u32));
            let tasks = sync::Arc::new(sync::Mutex::new(BTreeMap::new()));
            let queue = sync::Arc::new(sync::Mutex::new(Vec::new()));
            let pid = {
                let mut next = pids.lock().unwrap();
                *next += 1;
                *next - 1
            };
            tasks.lock().unwrap().insert(pid, true);
            let child = {
                let tasks = tasks.clone();
                thread::spawn(move || {
                    if let Some(alive) = tasks.lock().unwrap().get_mut(&pid) {
                        *alive = false;
                    }
                })
            };
            let reaper = {
                let tasks = tasks.clone();
                thread::spawn(move || {
                    for _ in 0..2 {
                        {
                            let mut tasks = tasks.lock().unwrap();
                            if tasks.get(&pid) == Some(&false) {
                                tasks.remove(&pid);
                            }
                        }
                        thread::yield_now();
                    }
                })
            };
            queue.lock().unwrap().push(pid);
            child.join().unwrap();
            reaper.join().unwrap();
        }
    };
}

pub mod shuttle {
    race!(::shuttle::sync, ::shuttle::thread);
}

pub mod loom {
    race!(::loom::sync, ::loom::thread);
}
