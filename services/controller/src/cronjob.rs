//! CronJobs: jobs on a schedule.
//!
//! # Upstream
//! `pkg/controller/cronjob/{cronjob_controllerv2,utils}.go`

use std::sync::Arc;
use std::time::Duration;

use client::{DeleteOptions, Preconditions, Propagation};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use reconcile::{Ask, Controller, Error, Event, Kind, Permit, Plan, Watch};

use crate::common::created;
use meta::cron::Schedule;

/// The controller.
#[derive(Debug)]
pub(crate) struct CronJobs;

impl Controller for CronJobs {
    fn name(&self) -> &'static str {
        "cronjob-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::root::<CronJob>(), Watch::owned::<Job, CronJob>()]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<Job>("create delete"), Permit::sub::<CronJob>("status", "patch")]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(cron) = ask.view.get::<CronJob>(ask.key).filter(|c| !c.deleting()) else { return Ok(plan) };
        let spec = &cron.spec;
        let jobs: Vec<&Arc<Job>> = ask.view.owned::<Job>(cron.uid()).collect();
        let mut next = CronJob::clone(cron);
        follow(&mut plan, cron, &mut next, &jobs);
        clean_up(&mut plan, cron, spec, &jobs);
        if spec.suspend != Some(true) {
            start(&mut plan, ask, cron, spec, &mut next, &jobs)?;
        }
        plan.update_status(cron.as_ref(), &next)?;
        Ok(plan)
    }
}

/// `Complete` or `Failed`, once the job has ended.
fn ended(job: &Job) -> Option<&str> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let end = conditions
        .iter()
        .find(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True")?;
    Some(&end.type_)
}

/// Keeps the list of active jobs, and the time of the last success.
fn follow(plan: &mut Plan, cron: &CronJob, next: &mut CronJob, jobs: &[&Arc<Job>]) {
    let status = next.status.get_or_insert_default();
    let mut active = status.active.clone().unwrap_or_default();
    for job in jobs {
        let listed = active.iter().any(|a| a.uid.as_deref() == Some(job.uid()));
        let end = ended(job);
        if !listed && end.is_none() {
            let current = cron.status.as_ref().and_then(|s| s.last_schedule_time.as_ref());
            if current.is_some_and(|t| created(job.as_ref()) > t.0) || job.deleting() {
                continue; // the status write that lists it is still to come
            }
            active.push(reference(job));
        } else if listed && let Some(end) = end {
            active.retain(|a| a.uid.as_deref() != Some(job.uid()));
            let message = format!("Saw completed job: {}, condition: {end}", job.name());
            plan.events.push(Event::normal(cron, "SawCompletedJob", message));
        }
        let finish =
            job.status.as_ref().and_then(|s| s.completion_time.as_ref()).filter(|_| end == Some("Complete"));
        if let Some(finish) = finish
            && status.last_successful_time.as_ref().is_none_or(|last| last.0 < finish.0)
        {
            status.last_successful_time = Some(finish.clone());
        }
    }
    active.retain(|a| {
        let known = jobs.iter().any(|j| a.uid.as_deref() == Some(j.uid()));
        if !known {
            let message = format!("Active job went missing: {}", a.name.clone().unwrap_or_default());
            plan.events.push(Event::normal(cron, "MissingJob", message));
        }
        known
    });
    status.active = Some(active).filter(|a| !a.is_empty());
}

fn reference(job: &Job) -> ObjectReference {
    ObjectReference {
        api_version: Some("batch/v1".into()),
        kind: Some("Job".into()),
        namespace: job.metadata.namespace.clone(),
        name: job.metadata.name.clone(),
        uid: job.metadata.uid.clone(),
        resource_version: job.metadata.resource_version.clone(),
        ..ObjectReference::default()
    }
}

fn delete(plan: &mut Plan, cron: &CronJob, job: &Job) {
    let options = DeleteOptions {
        preconditions: Some(Preconditions { uid: Some(job.uid().into()), resource_version: None }),
        propagation_policy: Some(Propagation::Background),
        grace_period_seconds: None,
    };
    plan.delete_with(job, options).events(
        Event::normal(cron, "SuccessfulDelete", format!("Deleted job {}", job.name())),
        Event::warning(cron, "FailedDelete", "Deleted job: {error}"),
    );
}

/// Deletes ended jobs beyond the history limits.
fn clean_up(plan: &mut Plan, cron: &CronJob, spec: &CronJobSpec, jobs: &[&Arc<Job>]) {
    let limits =
        [("Complete", spec.successful_jobs_history_limit), ("Failed", spec.failed_jobs_history_limit)];
    for (end, limit) in limits {
        let Some(limit) = limit.and_then(|l| usize::try_from(l).ok()) else { continue };
        let mut old: Vec<_> = jobs.iter().filter(|j| ended(j) == Some(end) && !j.deleting()).collect();
        old.sort_by_key(|j| {
            (j.status.as_ref().and_then(|s| s.start_time.clone()).map(|t| t.0), j.name().to_owned())
        });
        let surplus = old.len().saturating_sub(limit);
        for job in old.into_iter().take(surplus) {
            delete(plan, cron, job);
        }
    }
}

fn start(
    plan: &mut Plan,
    ask: &Ask<'_>,
    cron: &CronJob,
    spec: &CronJobSpec,
    next: &mut CronJob,
    jobs: &[&Arc<Job>],
) -> Result<(), Error> {
    let zone = match spec.time_zone.as_deref() {
        None => TimeZone::system(),
        Some(name) => match TimeZone::get(name) {
            Ok(zone) => zone,
            Err(_) => {
                let message = format!("invalid timeZone: {name:?}: unknown time zone {name}");
                plan.events.push(Event::warning(cron, "UnknownTimeZone", message));
                return Ok(());
            }
        },
    };
    let schedule = match Schedule::parse(&spec.schedule, zone) {
        Ok(schedule) => schedule,
        Err(error) => {
            let message = format!("unparseable schedule: {:?} : {error}", spec.schedule);
            plan.events.push(Event::warning(cron, "UnparseableSchedule", message));
            return Ok(());
        }
    };
    let now = ask.now;
    if let Some(after) = schedule.after(now) {
        // a little late rather than early
        let wait = after.as_millisecond() - now.as_millisecond() + 100;
        plan.again(Duration::from_millis(u64::try_from(wait).unwrap_or(100)));
    }
    let last = next.status.as_ref().and_then(|s| s.last_schedule_time.as_ref()).map(|t| t.0);
    let mut earliest = last.unwrap_or_else(|| created(cron));
    if let Some(deadline) = spec.starting_deadline_seconds {
        let bound = Timestamp::from_second(now.as_second() - deadline).unwrap_or(Timestamp::MIN);
        earliest = earliest.max(bound);
    }
    let Some((due, missed)) = schedule.latest(earliest, now) else { return Ok(()) };
    if missed > 100 {
        let message =
            "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
        plan.events.push(Event::warning(cron, "TooManyMissedTimes", message));
    }
    if spec.starting_deadline_seconds.is_some_and(|d| due.as_second() + d < now.as_second()) {
        let message = format!("Missed scheduled time to start a job: {}", meta::time::rfc3339(due));
        plan.events.push(Event::warning(cron, "MissSchedule", message));
        return Ok(());
    }
    let job = job(cron, spec, due);
    let active = next.status.as_ref().and_then(|s| s.active.clone()).unwrap_or_default();
    if jobs.iter().any(|j| j.name() == job.name()) {
        next.status.get_or_insert_default().last_schedule_time = Some(Time(due));
        return Ok(());
    }
    match spec.concurrency_policy.as_deref() {
        Some("Forbid") if !active.is_empty() => {
            let message =
                "Not starting job because prior execution is running and concurrency policy is Forbid";
            plan.events.push(Event::normal(cron, "JobAlreadyActive", message));
            return Ok(());
        }
        Some("Replace") => {
            for job in jobs.iter().filter(|j| active.iter().any(|a| a.uid.as_deref() == Some(j.uid()))) {
                delete(plan, cron, job);
            }
            next.status.get_or_insert_default().active = None;
        }
        _ => {}
    }
    plan.create(&job)?.events(
        Event::normal(cron, "SuccessfulCreate", "Created job {name}"),
        Event::warning(cron, "FailedCreate", "Error creating job: {error}"),
    );
    Ok(())
}

/// The job of a scheduled time: its name is made from the time, so that it is made once only.
fn job(cron: &CronJob, spec: &CronJobSpec, due: Timestamp) -> Job {
    let template = spec.job_template.clone();
    let meta = template.metadata.unwrap_or_default();
    let mut annotations = meta.annotations.unwrap_or_default();
    let zone = spec.time_zone.as_deref().and_then(|z| TimeZone::get(z).ok()).unwrap_or(TimeZone::UTC);
    let text = due.to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string().replace("+00:00", "Z");
    annotations.insert("batch.kubernetes.io/cronjob-scheduled-timestamp".into(), text);
    Job {
        metadata: ObjectMeta {
            name: Some(format!("{}-{}", cron.name(), due.as_second() / 60)),
            namespace: cron.metadata.namespace.clone(),
            labels: meta.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![cron.owner_reference()]),
            creation_timestamp: None,
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}
