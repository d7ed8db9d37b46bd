//! Functions that come while the worker runs, and units that name them.
//!
//! A value is an array of two: the id of the function's code, and what the function is given. Owns which
//! functions there are.

use std::{collections::HashMap, io, sync::Arc};

use proto::{net::driver::Handle, value::value_len};
use pyo3::{prelude::*, types::PyBytes};
use worker::{
    Concurrent, Failure, Function, Outputs, Unit,
    core::Reply,
    executor::Code,
    function::{Batch, Outcomes},
};

use super::{
    group::{Callee, Identities, Ledger, work_on},
    port::{Ask, Port},
    terms::{Manner, Terms},
    watch::Watch,
};
use crate::{shelf::RESULTS, values::Encoder};

/// The code with which a worker is told what it needs before any function.
const SETUP: u64 = 0;
const UNKNOWN: &str = "the function of this unit is not known here any more: nobody waits for it";

const UNTRUSTED: &str = "a pool sends functions and values as pickles, and with --insecure anyone may have sent them; use a key, or --allow-code where the network is trusted";

/// Whatever functions the units name.
pub(super) struct Shipped {
    terms: Arc<Terms>,
    callees: HashMap<u64, Arc<Callee>>,
    watch: Watch,
    port: Port,
    leaving: Option<Leaving>,
    // Whether functions and values of others are unpickled.
    code: Code,
}

/// After so many units more the worker leaves.
struct Leaving {
    left: u64,
    worker: Handle<Reply>,
}

impl Shipped {
    /// No functions yet. `port` is where units are, if many of them are open at once.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn new(host: Py<PyAny>, port: Port, code: Code) -> io::Result<Self> {
        let terms = Arc::new(Terms {
            host,
            manner: Manner::Value { retries: 0, encoder: Encoder::native() },
        });
        let callees = HashMap::new();
        Ok(Self { terms, callees, watch: Watch::start()?, port, leaving: None, code })
    }

    fn set_up(&mut self, py: Python<'_>, code: &Bound<'_, PyBytes>) -> PyResult<()> {
        let told = self.terms.host.bind(py).call_method1("set_up", (code,))?;
        let (retries, units, timeout, is_plain): (u32, Option<u64>, Option<f64>, bool) =
            told.extract()?;
        let encoder = match is_plain {
            true => Encoder::plain(),
            false => Encoder::with_shelf(RESULTS.get().cloned()),
        };
        let host = self.terms.host.clone_ref(py);
        self.terms = Arc::new(Terms { host, manner: Manner::Value { retries, encoder } });
        self.watch.limit(timeout, &self.terms);
        if let (Some(left), Some(worker)) = (units, self.port.worker()) {
            self.leaving = Some(Leaving { left, worker });
        }
        Ok(())
    }

    fn count(&mut self, units: u32) {
        let Some(leaving) = &mut self.leaving else { return };
        leaving.left = leaving.left.saturating_sub(units.into());
        if leaving.left == 0 {
            leaving.worker.drain();
            self.leaving = None;
        }
    }

    fn work_through(&self, py: Python<'_>, ledger: &mut Ledger<'_, '_>) -> PyResult<()> {
        let values: Vec<&[u8]> = ledger.batch.values().collect();
        let split: Vec<(u64, &[u8])> = values.iter().map_while(|value| split(value)).collect();
        let identities = Identities::of(ledger.batch);
        let mut before = 0;
        for same in split.chunk_by(|a, b| a.0 == b.0) {
            let Some((id, _)) = same.first() else { continue };
            let Some(callee) = self.callees.get(id) else {
                same.iter().for_each(|_| ledger.fail(Failure::new(UNKNOWN)));
                before += same.len();
                continue;
            };
            let items: Vec<&[u8]> = same.iter().map(|(_, item)| *item).collect();
            let with = (&self.terms, &self.watch);
            if !work_on(py, with, callee, &items, (&identities, before), ledger)? {
                return Ok(());
            }
            before += same.len();
        }
        if split.len() < values.len() {
            ledger.fail(Failure::new("the unit names no function"));
        }
        Ok(())
    }
}

/// The id of the code that a value names, and what the function is given.
fn split(value: &[u8]) -> Option<(u64, &[u8])> {
    let (0x92, rest) = value.split_first().map(|(marker, rest)| (*marker, rest))? else {
        return None;
    };
    let (mut id, item) = rest.split_at_checked(value_len(rest).ok()?)?;
    Some((rmp::decode::read_int(&mut id).ok()?, item))
}

impl Function for Shipped {
    fn define(&mut self, id: u64, code: Option<&[u8]>) -> Result<(), Failure> {
        if self.code == Code::Refused {
            return Err(Failure::new(UNTRUSTED));
        }
        Python::attach(|py| {
            let Some(code) = code else {
                drop(self.callees.remove(&id));
                return Ok(());
            };
            let code = PyBytes::new(py, code);
            if id == SETUP {
                return self.set_up(py, &code);
            }
            let parts = self.terms.host.bind(py).call_method1("define", (code,))?;
            self.callees.insert(id, Arc::new(Callee::from(&parts)?));
            Ok(())
        })
        .map_err(|error| Failure::new(Python::attach(|py| self.terms.story(py, &error))))
    }

    fn open_at_once(&mut self, units: u32) {
        self.port.open_at_once(units);
    }

    fn call(&mut self, _: &Unit<'_>, _: &[u8], _: &mut Outputs) -> Result<(), Failure> {
        // Units come in batches only: they carry no input beside their value.
        Err(Failure::new("a pool's units do not carry what the source gave"))
    }

    fn call_all(&mut self, batch: &mut Batch<'_>, out: &mut Outputs, outcomes: &mut Outcomes) {
        let mut ledger = Ledger { batch, out, outcomes };
        let worked = Python::attach(|py| {
            let worked = self.work_through(py, &mut ledger);
            worked.map_err(|error| Failure::new(self.terms.story(py, &error)))
        });
        if let Err(failure) = worked {
            ledger.fail(failure);
        }
        self.count(outcomes.units());
    }

    fn concurrent(&mut self) -> Option<&mut dyn Concurrent> {
        self.port.is_wanted().then_some(self as &mut dyn Concurrent)
    }

    fn tear_down(&mut self) {
        self.port.close();
    }
}

impl Concurrent for Shipped {
    fn open_max(&self) -> u32 {
        self.port.open_max()
    }

    fn begin(
        &mut self,
        open: u32,
        limits: worker::OutputLimits,
        waker: worker::concurrent::Waker,
    ) -> Result<u32, Failure> {
        self.port.begin(open, limits, waker);
        Ok(open)
    }

    fn start(&mut self, slot: worker::concurrent::Slot, unit: &Unit<'_>, input: &[u8]) {
        let (id, item) = split(input).unwrap_or((u64::MAX, &[]));
        let callee = self.callees.get(&id).cloned();
        let terms = self.terms.clone();
        self.port.ask(Ask::new(slot, unit, item, callee.ok_or(UNKNOWN), terms));
        self.count(1);
    }

    fn poll(&mut self, finished: &mut worker::concurrent::Finished) {
        self.port.hand_over(finished);
    }

    fn end(&mut self) {
        self.port.close();
    }
}
