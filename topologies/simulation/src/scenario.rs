//! What is simulated: the shape of a pipeline, and which faults befall it.
//!
//! Owns the description; refuses chance: what happens when is drawn from the seed of a run.

use std::time::Duration;

use proto::{
    limits::{BACKOFF_MS_MAX, Limits},
    plan::{Function, Stage},
};

use super::{faults::Faults, mutation::Mutation, service::Service, shape::Shape};

/// Units of a simulated run unless told.
const UNITS: u64 = 120;
/// What the liveness limit stands for where nothing is lost, and nobody has to notice.
const UNLOST: Duration = Duration::from_secs(2);

/// A pipeline to simulate.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// The stages, at least one.
    pub stages: Vec<StageScenario>,
    /// Units in the source.
    pub units: u64,
    /// The limits of the run: small ones by default, so that a short run meets them.
    pub limits: Limits,
    /// Units come from clients instead.
    pub service: Option<Service>,
    /// What may go wrong.
    pub faults: Faults,
    /// A bug that is put in on purpose, to see that the checker finds it.
    pub mutation: Option<Mutation>,
}

/// One stage of it.
#[derive(Debug, Clone, PartialEq)]
pub struct StageScenario {
    /// The rules for failures.
    pub stage: Stage,
    /// How many workers.
    pub workers: u32,
    /// What they do.
    pub shape: Shape,
}

impl Scenario {
    /// A pipeline of these stages, each as (workers, what they do), without faults.
    pub fn new(stages: &[(u32, Shape)]) -> Self {
        let stage = |(index, (workers, shape)): (usize, &(u32, Shape))| StageScenario {
            stage: Stage {
                retries: 2,
                backoff_ms: 20,
                ..Stage::new(format!("stage-{index}"), Function::Own)
            },
            workers: *workers,
            shape: *shape,
        };
        Self {
            stages: stages.iter().enumerate().map(stage).collect(),
            units: UNITS,
            limits: limits(),
            service: None,
            faults: Faults::none(),
            mutation: None,
        }
    }

    /// The shape of these stages, each as (workers, what is planned for it). What a function does
    /// is known of the built-ins; any other is taken to give one output a unit.
    pub fn of<'a>(stages: impl IntoIterator<Item = (u32, &'a Stage)>) -> Self {
        let stages = stages.into_iter().map(|(workers, stage)| StageScenario {
            stage: Stage { function: Function::Own, ..stage.clone() },
            workers,
            shape: shape_of(&stage.function).failing(),
        });
        Self { stages: stages.collect(), ..Self::new(&[]) }
    }

    /// The same with these faults.
    pub fn with_faults(self, faults: Faults) -> Self {
        Self { faults, ..self }
    }

    /// The same with so many units open at once in every worker.
    pub fn with_concurrency(mut self, units: u32) -> Self {
        for stage in &mut self.stages {
            stage.stage.concurrency = Some(units);
        }
        self
    }

    /// The same with so many units.
    pub fn with_units(self, units: u64) -> Self {
        Self { units, ..self }
    }

    /// The same as a service with these clients.
    pub fn with_service(self, service: Service) -> Self {
        Self { service: Some(service), ..self }
    }

    /// The same with a bug.
    pub fn with_mutation(self, mutation: Mutation) -> Self {
        Self { mutation: Some(mutation), ..self }
    }

    /// How long a run may last after the last fault, by the rules' own times. Where nothing can be lost
    /// it goes on without any of them. Whatever was lost is
    /// noticed within `liveness`, one loss after the other, the end included: six roles' times wait
    /// for each other at most, and those that could not hear of the end are told later. A unit is
    /// tried again after its backoffs, in each stage; one that kills its workers takes a start of a
    /// worker for each piece that its parcel is cut to.
    pub(super) fn patience(&self) -> Duration {
        let liveness = match self.faults.lose() {
            true => Duration::from_millis(self.limits.liveness_ms),
            false => UNLOST,
        };
        let stages = self.stages.iter().map(|StageScenario { stage, shape, .. }| {
            let tries = 0..stage.retries.min(30);
            let backoff = |n: u32| (stage.backoff_ms << n).min(BACKOFF_MS_MAX);
            let backoffs = Duration::from_millis(tries.map(backoff).sum());
            let deaths = if shape.fatal > 0 { self.units as u32 * stage.crash_limit } else { 0 };
            2 * backoffs + Duration::from_secs(1) * deaths
        });
        30 * liveness + stages.sum::<Duration>()
    }

    /// How long it storms at most.
    pub(super) fn storm(&self) -> Duration {
        let all_day = self.service.as_ref().map(|service| service.span);
        all_day.unwrap_or_default().max(Duration::from_secs(6))
    }

    /// What [`expected`](super::shape::expected) needs to know.
    pub(super) fn shapes(&self) -> Vec<(Shape, u32)> {
        self.stages.iter().map(|stage| (stage.shape, stage.stage.retries)).collect()
    }
}

fn shape_of(function: &Function) -> Shape {
    match function {
        Function::Run(name) => match name.as_str() {
            "split-words" => Shape::expand(8),
            "stop-words" => Shape::filter(40),
            "fail" => Shape { failing: 97, ..Shape::one_to_one() },
            "spin" | "sleep" => Shape { service: Duration::from_millis(20), ..Shape::one_to_one() },
            _ => Shape::one_to_one(),
        },
        _ => Shape::one_to_one(),
    }
}

/// Limits that a hundred small units meet, and clocks that keep a run short.
fn limits() -> Limits {
    Limits {
        window_units_max: 48,
        window_bytes_max: 2 << 10,
        waiting_bytes_max: 2 << 10,
        parcel_units_max: 8,
        parcel_bytes_max: 400,
        intake_units_max: 24,
        intake_bytes_max: 1 << 10,
        heartbeat_interval_ms: 200,
        liveness_ms: 2_000,
        ..Limits::default()
    }
}
