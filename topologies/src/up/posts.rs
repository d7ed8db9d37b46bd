//! Who is there to be started.
//!
//! Owns the posts of a topology and their names; refuses to know whether anyone fills them.

use crate::topology::Topology;

/// A process that the topology asks for; whoever fills it may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Post {
    /// The one that collects.
    Sink,
    /// The one that reads the source.
    Ventilator,
    /// One of a stage.
    Worker {
        /// The stage, counted from 0.
        stage: usize,
        /// Which of its workers, counted from 1.
        number: u32,
    },
}

/// All posts of a topology.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posts {
    stages: Vec<(String, u32)>,
}

impl Posts {
    /// Stages by their names, each with its number of workers.
    pub fn new(stages: impl IntoIterator<Item = (String, u32)>) -> Self {
        Self { stages: stages.into_iter().collect() }
    }

    /// The posts that a topology has.
    pub fn of(topology: &Topology) -> Self {
        Self::new(topology.stages.iter().map(|spec| (spec.stage.name.clone(), spec.workers)))
    }

    /// How many stages there are.
    pub fn stages(&self) -> usize {
        self.stages.len()
    }

    /// Every post, in the order in which they are filled.
    pub fn posts(&self) -> Vec<Post> {
        let mut posts = vec![Post::Sink, Post::Ventilator];
        for (stage, (_, workers)) in self.stages.iter().enumerate() {
            posts.extend((1..=*workers).map(|number| Post::Worker { stage, number }));
        }
        posts
    }

    /// How people call it: `sink`, `ventilator`, `square-1`.
    pub fn name(&self, post: Post) -> String {
        match post {
            Post::Sink => "sink".into(),
            Post::Ventilator => "ventilator".into(),
            Post::Worker { stage, number } => format!("{}-{number}", self.stage(stage)),
        }
    }

    /// The name of a stage.
    pub fn stage(&self, stage: usize) -> &str {
        self.stages.get(stage).map_or("?", |(name, _)| name)
    }
}
