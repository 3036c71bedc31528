//! Starting jobs: queues, loaders, dispatchers, pumps, and the dataflows on all workers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::groups::{RunningGroup, RunningSource};
use super::{Controller, Order, WorkerPort};
use crate::checkpoint::layout::SinkKey;
use crate::checkpoint::load::{LoadQueues, Loader};
use crate::checkpoint::writer::{self, GroupRecord, JobRecord, SinkRecord, WriterItem};
use crate::control::command::JobSeat;
use crate::control::registry::RegisteredJob;
use crate::error::{Fatal, JobError};
use crate::graph::JobPlan;
use crate::graph::plan::{NodeKind, SinkTarget, SourceSpec};
use crate::operator::ask::{Desks, RereadDesk, TableDesk};
use crate::outbox::dispatch::{DispatchSetup, Dispatcher};
use crate::random::Random;
use crate::runtime::ddl::{DDL_SHARD, Ddl, DdlSetup};
use crate::runtime::pump::{Pump, PumpSetup, RereadCount};
use crate::runtime::queue::{QueueLimits, QueueWakers, SourceQueue};
use crate::runtime::step::{Inbox, Machine, Waker};
use crate::sink::{SinkFactory, SinkIdentity, UnitPolicy};
use crate::source::Start;

/// The parts of a job that live outside its dataflow.
#[derive(Default)]
struct Parts {
    machines: Vec<Box<dyn Machine>>,
    sources: Vec<RunningSource>,
    waiting_sinks: Vec<(Arc<str>, Arc<str>)>,
    /// By job and operator: where each worker asks for tables.
    tables: BTreeMap<(Arc<str>, Arc<str>), Vec<Arc<TableDesk>>>,
}

impl Parts {
    /// Where the operators of `plan` on this worker ask.
    fn desks(&self, plan: &JobPlan, worker: usize, count: &RereadCount) -> Desks {
        let own = self.tables.iter().filter(|((job, _), _)| *job == plan.name);
        let tables = own.map(|((_, uid), desks)| (uid.clone(), desks[worker].clone())).collect();
        let mut rereads = BTreeMap::new();
        for node in &plan.nodes {
            let NodeKind::Stateful(spec) = &node.kind else { continue };
            let Some((job, uid)) = &spec.asks.reread else { continue };
            let named = |source: &&RunningSource| source.job == *job && source.uid == *uid;
            let source = self.sources.iter().find(named).expect("linked jobs are one group");
            let desk = RereadDesk {
                orders: source.orders.clone(),
                count: count.clone(),
                fresh: source.fresh,
            };
            rereads.insert(node.uid.clone(), desk);
        }
        Desks { tables, rereads }
    }
}

impl Controller {
    /// Starts all groups; an outside fault while making a source or sink refuses the jobs.
    pub(super) fn start(
        &mut self,
        groups: &[(Arc<str>, Vec<Arc<JobPlan>>)],
        registered: &[RegisteredJob],
    ) -> Result<Result<(), JobError>, Fatal> {
        let mut made = Vec::new();
        for (name, plans) in groups {
            let jobs: Vec<RegisteredJob> = registered
                .iter()
                .filter(|job| plans.iter().any(|plan| plan.name == job.plan.name))
                .cloned()
                .collect();
            let mut parts = Parts::default();
            for job in &jobs {
                if let Err(error) = self.make_parts(job, &mut parts) {
                    return Ok(Err(error));
                }
            }
            made.push((name.clone(), jobs, parts));
        }
        for (name, jobs, parts) in made {
            self.install(name, jobs, parts)?;
        }
        Ok(Ok(()))
    }

    fn make_parts(&mut self, job: &RegisteredJob, parts: &mut Parts) -> Result<(), JobError> {
        let refuse = |fault: crate::error::Fault| JobError {
            job: job.plan.name.to_string(),
            reason: fault.to_string(),
        };
        for node in &job.plan.nodes {
            match &node.kind {
                NodeKind::Source(spec) => {
                    let source = self.make_source(job, &node.uid, spec).map_err(refuse)?;
                    parts.sources.push(source);
                }
                NodeKind::Collect(spec) => {
                    if let SinkTarget::Outside(factory) = &spec.target {
                        let place = (&job.plan.name, &node.uid);
                        let shards = self.shards(place.0, place.1);
                        let made = self.make_dispatchers(place, shards, factory.as_ref(), false);
                        for dispatcher in made.map_err(refuse)? {
                            parts.waiting_sinks.push((job.plan.name.clone(), node.uid.clone()));
                            parts.machines.push(Box::new(dispatcher));
                        }
                    }
                }
                NodeKind::Stateful(spec) => {
                    if let Some(factory) = &spec.asks.tables {
                        let ddl = self.make_ddl(job, &node.uid, factory);
                        let (desks, ddl) = ddl.map_err(refuse)?;
                        parts.tables.insert((job.plan.name.clone(), node.uid.clone()), desks);
                        parts.machines.push(Box::new(ddl));
                    }
                }
                NodeKind::Import { .. } | NodeKind::Export(_) => {}
            }
        }
        Ok(())
    }

    fn make_source(
        &self,
        job: &RegisteredJob,
        uid: &Arc<str>,
        spec: &SourceSpec,
    ) -> Result<RunningSource, crate::error::Fault> {
        let source = spec.factory.create()?;
        let about = source.describe();
        let waker = Waker::default();
        let queues: Vec<_> = self
            .setup
            .workers
            .iter()
            .map(|worker| {
                let limits = QueueLimits {
                    live_bytes: self.setup.source_queue_bytes,
                    reread_rows: self.setup.reread_rows,
                };
                let wakers = QueueWakers {
                    worker: worker.waker.clone(),
                    pump: waker.clone(),
                    controller: self.setup.waker.clone(),
                };
                Arc::new(SourceQueue::new(limits, about.snapshot, wakers))
            })
            .collect();
        let op = job.ops[uid];
        let saved = self.setup.saved.positions.get(&(job.plan.name.clone(), op));
        let orders = Inbox::new(waker.clone());
        let fresh = saved.is_none_or(Vec::is_empty) && spec.start == Start::Earliest;
        let setup = PumpSetup {
            job: job.plan.name.clone(),
            uid: uid.clone(),
            start: spec.start.clone(),
            saved: saved.cloned().unwrap_or_default(),
            queues: queues.clone(),
            events: self.setup.events.clone(),
            orders: orders.clone(),
            rereads: self.setup.rereads.clone(),
            waker,
        };
        Ok(RunningSource {
            job: job.plan.name.clone(),
            uid: uid.clone(),
            bounded: about.bounded,
            fresh,
            ended: false,
            queues,
            orders,
            pump: Some(Pump::new(setup, source)),
        })
    }

    /// Delivers what a job that is left out has complete: it would keep the outbox from shrinking.
    /// A sink that is itself at fault, named in `faulty` as `job.uid`, is let alone.
    pub(super) fn deliver_left_out(
        &mut self,
        plan: &JobPlan,
        faulty: &[String],
    ) -> Result<(), JobError> {
        for (node, spec) in plan.sinks() {
            let SinkTarget::Outside(factory) = &spec.target else { continue };
            if faulty.contains(&format!("{}.{}", plan.name, node.uid)) {
                continue;
            }
            let shards = self.undelivered_shards(&plan.name, &node.uid);
            let place = (&plan.name, &node.uid);
            let made = self.make_dispatchers(place, shards, factory.as_ref(), true);
            let refuse = |fault: crate::error::Fault| JobError {
                job: plan.name.to_string(),
                reason: fault.to_string(),
            };
            for dispatcher in made.map_err(refuse)? {
                self.setup.births.push(Box::new(dispatcher));
            }
        }
        Ok(())
    }

    /// Shards of a sink for which an earlier generation left something.
    fn undelivered_shards(&self, job: &Arc<str>, uid: &Arc<str>) -> Vec<u16> {
        let ours = |key: &&SinkKey| key.job == *job && key.sink == *uid;
        self.setup.saved.outbox.keys().filter(ours).map(|key| key.shard).collect()
    }

    /// One shard per worker, and those of an earlier, larger set of workers.
    fn shards(&self, job: &Arc<str>, uid: &Arc<str>) -> Vec<u16> {
        let workers = u16::try_from(self.setup.workers.len()).expect("at most 1024 workers");
        let mut shards = self.undelivered_shards(job, uid);
        shards.extend(0..workers);
        shards.sort_unstable();
        shards.dedup();
        shards
    }

    fn make_dispatchers(
        &mut self,
        (job, uid): (&Arc<str>, &Arc<str>),
        shards: Vec<u16>,
        factory: &dyn SinkFactory,
        left_out: bool,
    ) -> Result<Vec<Dispatcher>, crate::error::Fault> {
        let mut dispatchers = Vec::new();
        for &shard in &shards {
            let key = SinkKey { job: job.clone(), sink: uid.clone(), shard };
            let waker = Waker::default();
            let inbox = Inbox::new(waker.clone());
            let mut inboxes = self.setup.units.lock().expect("nothing panics under this lock");
            inboxes.insert(key.clone(), inbox.clone());
            drop(inboxes);
            let setup = DispatchSetup {
                planned: writer::planned_units(&self.setup.saved, &key),
                key,
                family: self.setup.saved.family,
                disk: self.setup.disk.clone(),
                inbox,
                writer: self.setup.writer.clone(),
                events: self.setup.events.clone(),
                sinks: self.sinks.clone(),
                waker,
                left_out,
                several: shards.len() > 1,
                points: self.setup.points.clone(),
                random: Random::new(self.setup.random.next_u64()),
            };
            dispatchers.push(Dispatcher::new(setup, factory.create()?));
        }
        Ok(dispatchers)
    }

    /// The machine that makes tables for one operator, and the operator's desk on each worker.
    fn make_ddl(
        &self,
        job: &RegisteredJob,
        uid: &Arc<str>,
        factory: &Arc<dyn SinkFactory>,
    ) -> Result<(Vec<Arc<TableDesk>>, Ddl), crate::error::Fault> {
        let waker = Waker::default();
        let questions = Inbox::new(waker.clone());
        let desk = |worker: &WorkerPort| {
            let late = self.tables_late.clone();
            Arc::new(TableDesk::new(questions.clone(), late, worker.waker.clone()))
        };
        let desks = self.setup.workers.iter().map(desk).collect();
        let identity = SinkIdentity {
            family: self.setup.saved.family,
            job: job.plan.name.clone(),
            sink: uid.clone(),
            shard: DDL_SHARD,
        };
        let events = self.setup.events.clone();
        let setup = DdlSetup { identity, factory: factory.clone(), questions, events, waker };
        Ok((desks, Ddl::new(setup)?))
    }

    fn install(
        &mut self,
        name: Arc<str>,
        jobs: Vec<RegisteredJob>,
        parts: Parts,
    ) -> Result<(), Fatal> {
        self.setup.writer.push(WriterItem::Group(group_record(&name, &jobs)));
        for job in &jobs {
            self.install_job(job, &parts)?;
        }
        let mut group = RunningGroup::new(name, jobs, parts.sources, parts.waiting_sinks);
        group.complete = self.setup.saved.complete.get(&group.name).copied().unwrap_or(0);
        parts.machines.into_iter().for_each(|machine| self.setup.births.push(machine));
        group.start_sources(&self.setup.births);
        self.groups.push(group);
        Ok(())
    }

    fn install_job(&mut self, job: &RegisteredJob, parts: &Parts) -> Result<(), Fatal> {
        let stateful: Vec<Arc<str>> = job
            .plan
            .nodes
            .iter()
            .filter(|node| matches!(node.kind, NodeKind::Stateful(_)))
            .map(|node| node.uid.clone())
            .filter(|uid| job.restored.contains(uid))
            .collect();
        let loads: Vec<LoadQueues> = self
            .setup
            .workers
            .iter()
            .map(|worker| LoadQueues::new(stateful.iter().cloned(), &worker.waker))
            .collect();
        let operators: VecDeque<_> =
            stateful.iter().map(|uid| (uid.clone(), job.ops[uid])).collect();
        if !operators.is_empty() {
            let name = job.plan.name.clone();
            let backend = self.setup.backend.as_ref();
            let points = self.setup.points.clone();
            let loader = Loader::new(name, backend, operators, loads.clone(), points);
            self.setup.births.push(Box::new(loader.map_err(Fatal::disk)?));
        }
        let open = (self.open, self.stamp_ms);
        let plan = job.plan.clone();
        let count = self.setup.rereads.clone();
        self.order(|worker| {
            let own = parts.sources.iter().filter(|source| source.job == plan.name);
            let sources: BTreeMap<_, _> =
                own.map(|source| (source.uid.clone(), source.queues[worker].clone())).collect();
            Order::Submit(JobSeat {
                plan: plan.clone(),
                open,
                sources,
                loads: loads[worker].clone(),
                desks: parts.desks(&plan, worker, &count),
            })
        });
        Ok(())
    }
}

fn group_record(name: &Arc<str>, jobs: &[RegisteredJob]) -> GroupRecord {
    let mut sinks = Vec::new();
    for job in jobs {
        for (node, spec) in job.plan.sinks() {
            let policy = match &spec.target {
                SinkTarget::Topics(..) => UnitPolicy::EVERY_EPOCH,
                SinkTarget::Outside(factory) => factory.unit_policy(),
            };
            sinks.push(SinkRecord {
                job: job.plan.name.clone(),
                sink: node.uid.clone(),
                op: job.ops[&node.uid],
                policy,
            });
        }
    }
    let jobs = jobs.iter().map(|job| JobRecord {
        name: job.plan.name.clone(),
        plan_hash: job.plan.hash(),
        ops: job.ops.clone(),
        shapes: job.plan.shapes(),
    });
    GroupRecord { name: name.clone(), jobs: jobs.collect(), sinks }
}
