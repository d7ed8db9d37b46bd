//! Memory that a pool and its workers on this machine share, for large buffers.
//!
//! What is sent goes through the memory of sockets, and is copied at every step; a large buffer is laid on a shelf
//! instead, and its place is sent. A pool has one shelf for items, and each worker one for its results. All of them are
//! the pool's: they outlive a worker that is killed, and go with the pool, whatever ends it, since no file system knows
//! them. Owns which parts are taken: an item's until its outcome has come, however often it is tried; a result's until
//! the pool has taken it. When nothing is free the buffer is sent as all else is.
//!
//! A place is good as long as its number stands at the head of the shelf. Who reads looks at that afterwards: a worker
//! that was stopped for long finds somebody else's item there, and says so; nobody waits for its unit any more.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    ops::RangeInclusive,
    os::{
        fd::{AsRawFd, RawFd},
        unix::fs::FileExt,
    },
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use pyo3::{prelude::*, sync::PyOnceLock, types::PyMemoryView};
use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create};

/// A shelf is taken in parts of this size.
const PART: u64 = 64 << 10;
const PARTS: u64 = 1_024;
/// The numbers of what begins in each part.
const HEAD: u64 = PARTS * 8;
/// With less there is no use in a shelf; more than this would leave no room for others.
const SHELVED_BYTES: RangeInclusive<usize> = 64 << 10..=8 << 20;
/// With more than this on it nothing is added that can wait.
const FULL_BYTES: u64 = PART * PARTS / 2;

/// The id of the shelf of a pool's items.
pub(crate) const ITEMS_ID: u64 = 0;

/// Where something lies: the shelf, the first part, and the number that stands there as long as it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub shelf: u64,
    pub part: u64,
    pub number: u64,
}

#[derive(Debug, Default)]
struct Taken {
    // How many parts, by the first of them.
    runs: BTreeMap<u64, u64>,
    number: u64,
}

impl Taken {
    /// The first parts in a row that are free.
    fn free(&self, parts: u64) -> Option<u64> {
        let mut at = 0;
        for (first, count) in &self.runs {
            if first - at >= parts {
                return Some(at);
            }
            at = first + count;
        }
        (PARTS - at >= parts).then_some(at)
    }
}

/// Whose parts are free again when the other side says so at the head of the shelf, or only when this side does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeper {
    Here,
    There,
}

/// One side's view of a shelf.
pub(crate) struct Shelf {
    id: u64,
    file: File,
    keeper: Keeper,
    taken: Mutex<Taken>,
    parts: AtomicU64,
    // As Python sees it.
    memory: PyOnceLock<Py<PyAny>>,
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shelf").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Shelf {
    /// A new one, whose parts are free again when this side says so.
    ///
    /// # Errors
    /// When there is no memory or no descriptor.
    pub fn make(id: u64) -> io::Result<Self> {
        let file = File::from(memfd_create("pipeline", MemfdFlags::CLOEXEC)?);
        file.set_len(HEAD + PART * PARTS)?;
        Ok(Self {
            id,
            file,
            keeper: Keeper::Here,
            taken: Mutex::default(),
            parts: AtomicU64::new(0),
            memory: PyOnceLock::new(),
        })
    }

    /// One that another process has made, and has handed over as this descriptor. Its parts are free again when the other side says so.
    ///
    /// # Errors
    /// When it is not there.
    pub fn open(id: u64, descriptor: RawFd) -> io::Result<Self> {
        let path: PathBuf = ["/proc/self/fd", &descriptor.to_string()].iter().collect();
        // Under a description of its own.
        let file = File::options().read(true).write(true).open(path)?;
        Ok(Self {
            id,
            file,
            keeper: Keeper::There,
            taken: Mutex::default(),
            parts: AtomicU64::new(0),
            memory: PyOnceLock::new(),
        })
    }

    /// By which its maker knows it.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// To be handed to another process.
    pub fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Nothing under the lock can panic halfway.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything is on it.
    pub fn is_used(&self) -> bool {
        self.parts.load(Relaxed) > 0
    }

    /// Whether what can wait should.
    pub fn is_full(&self) -> bool {
        self.parts.load(Relaxed) * PART >= FULL_BYTES
    }

    /// Takes room for so many bytes; none if that is not worth it, or there is none.
    pub fn take(&self, bytes: usize) -> Option<Place> {
        if !SHELVED_BYTES.contains(&bytes) {
            return None;
        }
        let parts = (bytes as u64).div_ceil(PART);
        let mut taken = self.taken();
        if self.keeper == Keeper::There {
            // Each time, so that the same memory is used again and again.
            self.look(&mut taken).ok()?;
        }
        let part = taken.free(parts)?;
        taken.number += 1;
        let number = taken.number;
        self.file.write_all_at(&number.to_ne_bytes(), part * 8).ok()?;
        taken.runs.insert(part, parts);
        self.parts.fetch_add(parts, Relaxed);
        Some(Place { shelf: self.id, part, number })
    }

    /// Which of its parts the other side has freed.
    fn look(&self, taken: &mut Taken) -> io::Result<()> {
        let mut head = vec![0; HEAD as usize];
        self.file.read_exact_at(&mut head, 0)?;
        let is_free = |part: u64| {
            let number = head.get(part as usize * 8..).and_then(|head| head.first_chunk());
            number.is_none_or(|number| u64::from_ne_bytes(*number) == 0)
        };
        taken.runs.retain(|part, _| !is_free(*part));
        self.parts.store(taken.runs.values().sum(), Relaxed);
        Ok(())
    }

    /// What lies there is not needed any more.
    pub fn free(&self, place: Place) {
        if self.keeper == Keeper::There {
            // The one who asked for it did not use it.
            let _ = self.file.write_all_at(&[0; 8], place.part * 8);
        }
        let mut taken = self.taken();
        if let Some(parts) = taken.runs.remove(&place.part) {
            self.parts.fetch_sub(parts, Relaxed);
        }
    }

    /// Nothing on it is needed any more; the memory is given back, whoever may still look at it.
    pub fn clear(&self) {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        // It goes with the last who has it otherwise.
        let _ = fallocate(&self.file, flags, 0, HEAD + PART * PARTS);
    }

    /// The other side's place is free again.
    pub fn give_back(&self, place: Place) {
        let _ = self.file.write_all_at(&[0; 8], place.part * 8);
    }

    /// Where in the memory something lies.
    pub fn offset(place: Place) -> u64 {
        HEAD + place.part * PART
    }

    /// Appends what lies there.
    ///
    /// # Errors
    /// When it is not there any more.
    pub fn read(&self, place: Place, bytes: usize, out: &mut Vec<u8>) -> io::Result<()> {
        out.reserve(bytes);
        // Whoever reads a shelf does so on one thread.
        let mut file = &self.file;
        file.seek(SeekFrom::Start(Self::offset(place)))?;
        let read = file.take(bytes as u64).read_to_end(out)?;
        if read != bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.check(place)
    }

    /// All of it, as a `memoryview` of a mapping.
    ///
    /// # Errors
    /// When it can't be mapped.
    pub fn memory<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let memory = self.memory.get_or_try_init(py, || {
            let mapped = py.import("mmap")?.call_method1("mmap", (self.descriptor(), 0))?;
            PyMemoryView::from(&mapped).map(|memory| memory.into_any().unbind())
        })?;
        Ok(memory.bind(py).clone())
    }

    /// What was looked at before was in its place.
    ///
    /// # Errors
    /// When it was not.
    pub fn check(&self, place: Place) -> io::Result<()> {
        match self.is_there(place)? {
            true => Ok(()),
            false => Err(io::Error::other("it is not on the shelf any more: nobody waits for it")),
        }
    }

    fn is_there(&self, place: Place) -> io::Result<bool> {
        let mut number = [0; 8];
        self.file.read_exact_at(&mut number, place.part * 8)?;
        Ok(u64::from_ne_bytes(number) == place.number)
    }
}

/// The items of the pool that this process is a worker of.
pub(crate) static ITEMS: OnceLock<Shelf> = OnceLock::new();
/// The results of the worker that this process is.
pub(crate) static RESULTS: OnceLock<Arc<Shelf>> = OnceLock::new();

/// Takes the shelves over that the pool has handed to this worker as descriptors: that of its items, and that of its
/// results with its id, as far as there are any. The descriptors can be closed then.
#[pyfunction]
#[pyo3(signature = (items, results, id))]
pub(crate) fn use_shelves(items: Option<RawFd>, results: Option<RawFd>, id: u64) -> PyResult<()> {
    if let Some(items) = items {
        let _ = ITEMS.set(Shelf::open(ITEMS_ID, items)?);
    }
    if let Some(results) = results {
        let _ = RESULTS.set(Arc::new(Shelf::open(id, results)?));
    }
    Ok(())
}

/// Where `pipeline_zmq._pickling` lays buffers.
#[pyclass(frozen, module = "pipeline_zmq._native")]
pub(crate) struct ShelfRoom(Arc<Shelf>);

impl ShelfRoom {
    /// On this shelf.
    pub(crate) fn of(shelf: &Arc<Shelf>) -> Self {
        Self(shelf.clone())
    }
}

#[pymethods]
impl ShelfRoom {
    /// Takes room for so many bytes: the shelf's memory and the offset to write them at, and the place to tell;
    /// none if there is none.
    #[expect(clippy::type_complexity, reason = "it is unpacked at once")]
    fn take<'py>(
        &self,
        py: Python<'py>,
        bytes: usize,
    ) -> PyResult<Option<(Bound<'py, PyAny>, u64, (u64, u64, u64))>> {
        let memory = self.0.memory(py)?;
        let place = self.0.take(bytes);
        Ok(place
            .map(|place| (memory, Shelf::offset(place), (place.shelf, place.part, place.number))))
    }

    /// It was of no use.
    fn free(&self, place: (u64, u64, u64)) {
        let (shelf, part, number) = place;
        self.0.free(Place { shelf, part, number });
    }
}
