//! The pid bitmap. Models `kernel/pid.c` (Linux 2.6.11), in its order.
//!
//! It counts upwards from the last pid that was given out, and gives up in corners where it need not (experiment G37).

use std::cell::{Cell, RefCell};

use sim::mm::{Kind, Part};
use sim::touch::{Access, Object};
use sim::{Cache, Gfp, Handle, Machine, Site};
use uevent::{Fix, Fixes};

use crate::ground;
use crate::system::index;

/// `PID_MAX_DEFAULT`.
pub const PID_MAX_DEFAULT: i32 = 32_768;
/// `PID_MAX_LIMIT`, the largest `pid_max`.
pub const PID_MAX_LIMIT: i32 = 4_194_304;
/// Where the search starts again after a wrap.
pub const RESERVED_PIDS: i32 = 300;
/// Pids in one page of the bitmap.
pub const BITS_PER_PAGE: i32 = 32_768;
const PIDMAP_ENTRIES: usize = (PID_MAX_LIMIT / BITS_PER_PAGE) as usize;
const WORDS: usize = BITS_PER_PAGE as usize / 64;
const PAGE_SIZE: u32 = 4096;

/// `alloc_pidmap.page`: one page of the bitmap, taken when its first pid is needed.
pub const PIDMAP_PAGE: Site = Site("alloc_pidmap.page");

/// The bits of one page.
struct Page {
    bits: Box<[u64; WORDS]>,
    /// All bits from this word on are clear, so that a copy need not look at them.
    clear_from: usize,
}

impl Page {
    fn zeroed() -> Page {
        Page { bits: Box::new([0; WORDS]), clear_from: 0 }
    }
}

impl Clone for Page {
    fn clone(&self) -> Page {
        Page { bits: self.bits.clone(), clear_from: self.clear_from }
    }

    /// In the room of another one, see [`Cache::copy_over`].
    fn clone_from(&mut self, source: &Page) {
        let Page { bits, clear_from } = self;
        let end = source.clear_from.max(*clear_from);
        bits[..end].copy_from_slice(&source.bits[..end]);
        *clear_from = source.clear_from;
    }
}

/// Models `struct pidmap`: a page that may not be there yet, and how many of its bits are clear.
#[derive(Clone, Copy)]
struct PidMap {
    nr_free: i32,
    page: Option<Handle<Page>>,
}

/// The static variables of the file.
pub struct Pids {
    /// In one piece, which a copy of a booted kernel takes over as it is.
    map: Box<Cell<[PidMap; PIDMAP_ENTRIES]>>,
    pages: Cache<Page>,
    /// `pid_max`, changed by sysctl: 301 to [`PID_MAX_LIMIT`].
    pub pid_max: Cell<i32>,
    /// `last_pid`, changed by a successful allocation only.
    pub last_pid: Cell<i32>,
    /// How many tasks use a number as their pid, thread group, process group or session.
    pub(crate) users: RefCell<Vec<u32>>,
    fixes: Fixes,
}

impl Default for Pids {
    /// Nothing allocated, not even pid 0: see [`pidmap_init`].
    fn default() -> Pids {
        Pids {
            map: Box::new(Cell::new([PidMap { nr_free: BITS_PER_PAGE, page: None }; PIDMAP_ENTRIES])),
            pages: Cache::new(Kind::PageAlloc).named("pidmap page"),
            pid_max: Cell::new(PID_MAX_DEFAULT),
            last_pid: Cell::new(0),
            users: RefCell::default(),
            fixes: Fixes::NONE,
        }
    }
}

/// A pid's page and its bit in that page.
fn place(pid: i32) -> (usize, i32) {
    let page = usize::try_from(pid / BITS_PER_PAGE).expect("pids are not negative");
    (page, pid % BITS_PER_PAGE)
}

fn word(offset: i32) -> (usize, u64) {
    let offset = usize::try_from(offset).expect("offsets are not negative");
    (offset / 64, 1 << (offset % 64))
}

/// The first clear bit at or after `offset`, [`BITS_PER_PAGE`] if there is none. Models `find_next_zero_bit()`.
fn find_next_offset(page: &Page, offset: i32) -> i32 {
    let (first, _) = word(offset);
    let clear_from = |(i, bits): (usize, &u64)| {
        let skipped = if i == first { (1u64 << (offset % 64)) - 1 } else { 0 };
        let clear = !(bits | skipped);
        (clear != 0).then(|| i32::try_from(i * 64).expect("in a page") + clear.trailing_zeros().cast_signed())
    };
    page.bits.iter().enumerate().skip(first).find_map(clear_from).unwrap_or(BITS_PER_PAGE)
}

impl Pids {
    /// See [`System::copy_over`](crate::System::copy_over).
    pub(crate) fn copy_over(&self, used: &mut Pids) {
        let Pids { map, pages, pid_max, last_pid, users, fixes } = used;
        map.set(self.map.get());
        self.pages.copy_over(pages);
        pid_max.set(self.pid_max.get());
        last_pid.set(self.last_pid.get());
        users.clone_from(&self.users);
        *fixes = self.fixes;
    }

    /// The same with these defects repaired.
    pub(crate) fn with_fixes(fixes: Fixes) -> Pids {
        Pids { fixes, ..Pids::default() }
    }

    fn map(&self, page: usize) -> &Cell<PidMap> {
        &self.map.as_array_of_cells()[page]
    }

    /// The maps whose page exists, with their numbers.
    fn existing(&self) -> impl Iterator<Item = (usize, Handle<Page>, i32)> {
        let maps = self.map.as_array_of_cells().iter().map(Cell::get).enumerate();
        maps.filter_map(|(i, map)| Some((i, map.page?, map.nr_free)))
    }

    /// An explorer is told of the bits that are reached, and of nothing else: see [`touch_bit`].
    #[inline(always)]
    fn page<R>(&self, m: &Machine, page: Handle<Page>, f: impl FnOnce(&mut Page) -> R) -> R {
        self.pages
            .with_part(m, page, Part::FIXED, Access::Read, "pidmap", f)
            .expect("pages of the bitmap are never freed")
    }

    /// Models `test_and_set_bit()`: whether the bit was set before.
    #[inline(always)]
    fn test_and_set(&self, m: &Machine, page: Handle<Page>, pid: i32) -> bool {
        let (word, bit) = word(pid % BITS_PER_PAGE);
        touch_bit(m, pid);
        self.page(m, page, |page| {
            let was = page.bits[word];
            page.bits[word] |= bit;
            page.clear_from = page.clear_from.max(word + 1);
            was & bit != 0
        })
    }

    /// Whether a pid is in use.
    #[must_use]
    pub fn is_used(&self, m: &Machine, pid: i32) -> bool {
        let (page, offset) = place(pid);
        let (word, bit) = word(offset);
        self.map(page).get().page.is_some_and(|page| self.page(m, page, |page| page.bits[word] & bit != 0))
    }

    /// The pages that exist, and how many of the bits of each are clear, whatever its counter says.
    #[must_use]
    pub fn nr_clear(&self, m: &Machine) -> Vec<(usize, i32)> {
        let clear = |page: &mut Page| page.bits.iter().map(|word| word.count_zeros().cast_signed()).sum();
        self.existing().map(|(i, page, _)| (i, self.page(m, page, clear))).collect()
    }

    /// The pages that exist, and how many pids each has free by its counter.
    #[must_use]
    pub fn nr_free(&self) -> Vec<(usize, i32)> {
        self.existing().map(|(i, _, nr_free)| (i, nr_free)).collect()
    }
}

/// Whether a page of the bitmap exists.
const PAGE: Object = Object::named("pidmap.page");
/// With more free pids than this in a page, nobody can tell how many: see [`ground::FAR`].
const FAR: i32 = 1024;

/// A bit is looked at and changed.
#[inline(always)]
fn touch_bit(m: &Machine, pid: i32) {
    if m.is_explored() {
        m.touch(ground::PID_BIT.nth(pid.cast_unsigned()), Access::Write);
        m.touch(ground::PIDMAP, Access::Add);
    }
}

/// The number of free bits of a page changes.
#[inline(always)]
fn touch_free(m: &Machine, map: &Cell<PidMap>, page: usize) {
    if m.is_explored() && map.get().nr_free <= FAR {
        m.touch(ground::NR_FREE.nth(index(page)), Access::Add);
    }
}

/// Gives a free pid number back. Models `free_pidmap()`: no checks.
///
/// Freeing twice inflates the page's counter for good (experiment G40).
///
/// # Violations
/// [`sim::Rule::Oops`]: the pid's page was never allocated.
#[inline(always)]
pub async fn free_pidmap(m: &Machine, pids: &Pids, pid: i32) {
    if !give_back(m, pids, pid) {
        match m.oops("free_pidmap").await {}
    }
}

/// What of `free_pidmap()` comes before its oops; false: there is no page.
#[inline(always)]
pub(crate) fn give_back(m: &Machine, pids: &Pids, pid: i32) -> bool {
    let (page, offset) = place(pid);
    // Neither the page nor the bit is asked for: experiment G40.
    if pids.fixes.has(Fix::CheckedFree) && !pids.is_used(m, pid) {
        return true;
    }
    let map = pids.map(page);
    m.touch(PAGE.nth(index(page)), Access::Read);
    let Some(bits) = map.get().page else { return false };
    touch_bit(m, pid);
    touch_free(m, map, page);
    let (word, bit) = word(offset);
    pids.page(m, bits, |page| page.bits[word] &= !bit);
    map.update(|map| PidMap { nr_free: map.nr_free + 1, ..map });
    true
}

/// Takes the next free pid number.
///
/// Models `kernel/pid.c:alloc_pidmap()` (Linux 2.6.11). Looks upwards from `last_pid`, page by page, and wraps to 300.
///
/// # Errors
/// `None` where the kernel returns -1:
/// - a page of the bitmap could not be allocated ([`PIDMAP_PAGE`]), though others may have free pids;
/// - no pid is free;
/// - the only free pid is `last_pid` itself, or `last_pid` is 300 at the wrap (experiment G37).
pub async fn alloc_pidmap(m: &Machine, pids: &Pids) -> Option<i32> {
    let pid_max = pids.pid_max.get();
    m.touch(ground::LAST_PID, Access::Read);
    let last = pids.last_pid.get();
    let mut pid = if last + 1 >= pid_max { RESERVED_PIDS } else { last + 1 };
    let (mut page, mut offset) = place(pid);
    let max_scan = (pid_max + BITS_PER_PAGE - 1) / BITS_PER_PAGE - i32::from(offset == 0);
    for round in 0..=max_scan {
        let map = pids.map(page);
        m.touch(PAGE.nth(index(page)), Access::Read);
        let bits = match map.get().page {
            Some(bits) => Some(bits),
            None => get_zeroed_page(m, pids, page).await,
        };
        // A page that is not to be had ends the search, though others may have free pids: experiment G39.
        if bits.is_none() && !pids.fixes.has(Fix::NextPage) {
            return None;
        }
        if map.get().nr_free < FAR {
            m.touch(ground::NR_FREE.nth(index(page)), Access::Read);
        }
        if let Some(bits) = bits.filter(|_| map.get().nr_free > 0) {
            // In the last round, back in the first page, the search ends where it began, and before it: experiment G37.
            let bounded = round == max_scan && (last + 1) % BITS_PER_PAGE != 0 && !pids.fixes.has(Fix::EveryPid);
            loop {
                if !pids.test_and_set(m, bits, pid) {
                    touch_free(m, map, page);
                    m.touch(ground::LAST_PID, Access::Write);
                    map.update(|map| PidMap { nr_free: map.nr_free - 1, ..map });
                    pids.last_pid.set(pid);
                    return Some(pid);
                }
                m.touch(ground::PIDMAP, Access::Read);
                offset = pids.page(m, bits, |page| find_next_offset(page, offset));
                pid = i32::try_from(page).expect("few pages") * BITS_PER_PAGE + offset;
                if offset >= BITS_PER_PAGE || pid >= pid_max || (bounded && pid >= last) {
                    break;
                }
            }
        }
        (page, offset) = if i32::try_from(page).expect("few pages") < (pid_max - 1) / BITS_PER_PAGE {
            (page + 1, 0)
        } else if last == RESERVED_PIDS && !pids.fixes.has(Fix::EveryPid) {
            return None;
        } else {
            (0, RESERVED_PIDS)
        };
        pid = i32::try_from(page).expect("few pages") * BITS_PER_PAGE + offset;
    }
    None
}

/// The page that a search has reached and nobody has used. Somebody else may bring it while this allocation sleeps.
async fn get_zeroed_page(m: &Machine, pids: &Pids, page: usize) -> Option<Handle<Page>> {
    let fresh = pids.pages.alloc(m, PIDMAP_PAGE, PAGE_SIZE, Gfp::KERNEL, Page::zeroed()).await;
    let map = pids.map(page);
    m.touch(PAGE.nth(index(page)), Access::Write);
    match (map.get().page, fresh) {
        (Some(existing), fresh) => {
            if let Some(fresh) = fresh {
                pids.pages.free(m, fresh, "alloc_pidmap");
            }
            Some(existing)
        }
        (None, fresh) => {
            map.update(|map| PidMap { page: fresh, ..map });
            fresh
        }
    }
}

/// One more task uses this number. Models the counting of `attach_pid()`, of which the hash chains are left out.
#[inline(always)]
pub(crate) fn attach_pid(m: &Machine, users: &mut Vec<u32>, kind: &'static str, nr: i32) {
    m.call("attach_pid", || vec![("type", kind.into()), ("nr", nr.into())], None);
    m.touch(ground::PID_USERS.nth(nr.cast_unsigned()), Access::Write);
    let nr = usize::try_from(nr).expect("pids are not negative");
    match users.get_mut(nr) {
        Some(users) => *users += 1,
        None => first_user(users, nr),
    }
}

/// Tables by number grow by so many entries: most numbers that are new find theirs.
pub(crate) const GROWTH: usize = 64;

/// Apart, so that a number that has its entry is counted by an addition.
#[cold]
#[inline(never)]
fn first_user(users: &mut Vec<u32>, nr: usize) {
    users.resize((nr + 1).next_multiple_of(GROWTH), 0);
    users[nr] = 1;
}

/// One task less uses these numbers: of each, whether it was the last one, and the caller has to give it back.
///
/// Models `detach_pid()` for each of them.
#[inline(always)]
pub(crate) fn detach_pids<const N: usize>(m: &Machine, pids: &Pids, numbers: [i32; N]) -> [bool; N] {
    let users = &mut *pids.users.borrow_mut();
    let mut last = [false; N]; // Written out: map() of an array was a call.
    for (last, nr) in last.iter_mut().zip(numbers) {
        m.touch(ground::PID_USERS.nth(nr.cast_unsigned()), Access::Write);
        let users = &mut users[usize::try_from(nr).expect("pids are not negative")];
        *users = users.saturating_sub(1);
        *last = *users == 0;
    }
    last
}

/// Takes the first page, and pid 0 for the idle task. Models `pidmap_init()`.
pub async fn pidmap_init(m: &Machine, pids: &Pids) {
    if get_zeroed_page(m, pids, 0).await.is_some() {
        mark_used(m, pids, 0).await;
    }
}

/// Sets a pid's bit if it is clear, as if it had been allocated; its page is made if need be. For tests and restores.
pub async fn mark_used(m: &Machine, pids: &Pids, pid: i32) {
    let (page, _) = place(pid);
    let map = pids.map(page);
    let bits = match map.get().page {
        Some(bits) => bits,
        None => match get_zeroed_page(m, pids, page).await {
            Some(bits) => bits,
            None => return,
        },
    };
    let was_set = pids.test_and_set(m, bits, pid);
    map.update(|map| PidMap { nr_free: map.nr_free - i32::from(!was_set), ..map });
}
