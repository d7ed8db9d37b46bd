//! What a worker that asks is told to be, and a client where to go.
//!
//! Owns the stages and what every plan has in common; refuses to know who is there already.

use proto::{
    frame::{Hello, HelloRole, Plan, Refusal},
    limits::Limits,
    plan::{Function, Stage},
    service::Access,
};

/// What a ventilator runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// The stages, at least one.
    pub stages: Vec<Stage>,
    /// The limits of the run.
    pub limits: Limits,
    /// Where the sink listens.
    pub sink: Vec<String>,
    /// A digest of source and stages.
    pub digest: String,
    /// The source gives pairs: what it read, twice; workers keep the first.
    pub carries_input: bool,
}

/// The plans of all stages.
#[derive(Debug)]
pub(crate) struct Plans {
    config: Config,
    // This machine, and where workers on others find the sink.
    elsewhere: Option<(String, Vec<String>)>,
    join_at: Option<String>,
}

impl Plans {
    /// The plans of this run.
    pub fn new(config: Config) -> Self {
        Self { config, elsewhere: None, join_at: None }
    }

    /// Workers that are not on this machine, `host`, find the sink at `endpoints`.
    pub fn sink_elsewhere(&mut self, host: String, endpoints: Vec<String>) {
        self.elsewhere = Some((host, endpoints));
    }

    /// Workers that others start find this ventilator there.
    pub fn announce(&mut self, endpoint: String) {
        self.join_at = Some(endpoint);
    }

    /// Where that is.
    pub fn join_at(&self) -> Option<&str> {
        self.join_at.as_deref()
    }

    /// The stages.
    pub fn stages(&self) -> &[Stage] {
        &self.config.stages
    }

    /// How many stages there are.
    pub fn stage_count(&self) -> u32 {
        self.config.stages.len() as u32
    }

    /// The limits of the run.
    pub fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// Where the sink listens, for processes on this machine.
    pub fn sink(&self) -> &[String] {
        &self.config.sink
    }

    /// What a worker is to be, or why it can be nothing here.
    pub fn plan_for(&self, hello: &Hello) -> Result<Plan, Refusal> {
        let HelloRole::Worker { stage: asked, own } = &hello.role else {
            return Err(Refusal::OtherRun);
        };
        let (index, stage) = self.stage_of(asked.as_deref())?;
        if stage.function == Function::Own && !own {
            return Err(Refusal::NoFunction { stage: stage.name.clone() });
        }
        Ok(Plan {
            stage_index: index as u32,
            stages: self.stage_count(),
            stage: stage.clone(),
            next: self.config.stages.get(index + 1).cloned(),
            sink: self.sink_for(&hello.host),
            limits: self.config.limits.clone(),
            carries_input: self.config.carries_input,
        })
    }

    /// What a client on a machine has to know.
    pub fn access_for(&self, host: &str, vacant: bool) -> Access {
        Access { sink: self.sink_for(host), limits: self.config.limits.clone(), vacant }
    }

    /// The stage that a worker asks for; the first if it does not.
    fn stage_of(&self, asked: Option<&str>) -> Result<(usize, &Stage), Refusal> {
        let mut stages = self.config.stages.iter().enumerate();
        let found = stages.find(|(_, stage)| asked.is_none_or(|asked| stage.name == asked));
        found.ok_or_else(|| Refusal::Stage {
            asked: asked.unwrap_or_default().into(),
            stages: self.config.stages.iter().map(|stage| stage.name.clone()).collect(),
        })
    }

    /// Where a worker on a machine finds the sink.
    fn sink_for(&self, host: &str) -> Vec<String> {
        match &self.elsewhere {
            Some((here, endpoints)) if here != host => endpoints.clone(),
            _ => self.config.sink.clone(),
        }
    }
}
