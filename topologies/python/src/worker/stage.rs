//! The function of a topology's stage: `call = "package.module:function"`, or source.
//!
//! Owns its one function and what it needs around it; what results mean is `terms.rs`'s.

use std::{io, sync::Arc};

use proto::plan;
use pyo3::{prelude::*, types::PyDict};
use worker::{
    Concurrent, Failure, Function, OutputLimits, Outputs, Unit,
    concurrent::{Finished, Slot, Waker},
    executor::Host,
    function::{Batch, Outcomes},
};

use super::{
    group::{Callee, Identities, Ledger, work_on},
    port::{Ask, Port},
    terms::{Manner, Terms},
    watch::Watch,
};

/// A stage's function in Python.
pub(super) struct Staged {
    terms: Arc<Terms>,
    stage: plan::Stage,
    callee: Option<Arc<Callee>>,
    watch: Watch,
    port: Port,
}

/// The stages whose function is in Python, for a worker.
pub(super) struct Stages {
    host: Py<PyAny>,
    port: Port,
}

impl Stages {
    /// `port` is where units are, if many of them are open at once.
    pub fn new(host: Py<PyAny>, port: Port) -> Self {
        Self { host, port }
    }
}

impl Host for Stages {
    fn function(&self, stage: &plan::Stage) -> Result<Option<Box<dyn Function>>, Failure> {
        match stage.function {
            plan::Function::Python(_)
            | plan::Function::PythonFile { .. }
            | plan::Function::Call(_) => {}
            _ => return Ok(None),
        }
        let host = Python::attach(|py| self.host.clone_ref(py));
        let staged = Staged::new(host, stage, self.port.clone());
        let staged = staged.map_err(|error| Failure::new(format!("cannot start: {error}")))?;
        Ok(Some(Box::new(staged)))
    }
}

impl Staged {
    /// That of this stage; it is loaded when it is set up.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn new(host: Py<PyAny>, stage: &plan::Stage, port: Port) -> io::Result<Self> {
        let terms = Arc::new(Terms { host, manner: Manner::Stage });
        Ok(Self { terms, stage: stage.clone(), callee: None, watch: Watch::start()?, port })
    }

    fn load(&self, py: Python<'_>) -> PyResult<Callee> {
        let told = PyDict::new(py);
        let plan::Stage { name, function, args, .. } = &self.stage;
        match function {
            plan::Function::Python(source) => told.set_item("source", source)?,
            plan::Function::PythonFile { path, source } => {
                told.set_item("source", source)?;
                told.set_item("path", path)?;
            }
            plan::Function::Call(path) => told.set_item("call", path)?,
            _ => {}
        }
        told.set_item("stage", name)?;
        told.set_item("args", args)?;
        told.set_item("concurrency", self.port.open_max().max(1))?;
        Callee::from(&self.terms.host.bind(py).call_method("stage", (), Some(&told))?)
    }
}

impl Function for Staged {
    fn open_at_once(&mut self, units: u32) {
        self.port.open_at_once(units);
    }

    fn set_up(&mut self) -> Result<(), Failure> {
        let callee = Python::attach(|py| {
            let timeout = self.stage.timeout_ms.map(|ms| ms as f64 / 1e3);
            self.watch.limit(timeout, &self.terms);
            self.load(py).map_err(|error| Failure::new(self.terms.story(py, &error)))
        })?;
        self.callee = Some(Arc::new(callee));
        Ok(())
    }

    fn call(&mut self, unit: &Unit<'_>, input: &[u8], out: &mut Outputs) -> Result<(), Failure> {
        let mut outcomes = Outcomes::default();
        let units = proto::units::Units::from_source(
            unit.id,
            input.to_vec(),
            vec![u32::try_from(input.len()).unwrap_or(u32::MAX)],
        );
        let spans = vec![proto::units::Span::one(unit.id, unit.path.to_vec())];
        let mut batch = Batch::new(&units, 0, spans, unit.attempt, unit.stage);
        self.call_all(&mut batch, out, &mut outcomes);
        match outcomes.iter().next() {
            Some(worker::function::Executed::Failed(failure)) => Err(failure.clone()),
            _ => Ok(()),
        }
    }

    fn call_all(&mut self, batch: &mut Batch<'_>, out: &mut Outputs, outcomes: &mut Outcomes) {
        let Some(callee) = self.callee.clone() else { return };
        let values: Vec<&[u8]> = batch.values().collect();
        let identities = Identities::of(batch);
        let mut ledger = Ledger { batch, out, outcomes };
        let worked = Python::attach(|py| {
            let with = (&self.terms, &self.watch);
            let worked = work_on(py, with, &callee, &values, (&identities, 0), &mut ledger);
            worked.map_err(|error| Failure::new(self.terms.story(py, &error)))
        });
        if let Err(failure) = worked {
            ledger.fail(failure);
        }
    }

    fn concurrent(&mut self) -> Option<&mut dyn Concurrent> {
        self.port.is_wanted().then_some(self as &mut dyn Concurrent)
    }

    fn tear_down(&mut self) {
        self.port.close();
    }
}

impl Concurrent for Staged {
    fn open_max(&self) -> u32 {
        self.port.open_max()
    }

    fn begin(&mut self, open: u32, limits: OutputLimits, waker: Waker) -> Result<u32, Failure> {
        self.port.begin(open, limits, waker);
        Ok(open)
    }

    fn start(&mut self, slot: Slot, unit: &Unit<'_>, input: &[u8]) {
        let callee = self.callee.clone().ok_or("the function is not loaded");
        self.port.ask(Ask::new(slot, unit, input, callee, self.terms.clone()));
    }

    fn poll(&mut self, finished: &mut Finished) {
        self.port.hand_over(finished);
    }

    fn end(&mut self) {
        self.port.close();
    }
}
