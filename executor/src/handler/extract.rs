//! What the arguments of a handler may be: parts of the run, taken from its context.

use std::any::{Any, TypeId, type_name};
use std::sync::Arc;

use jiff::Timestamp;
use leasehold_common::definition::Tenant;
use leasehold_common::id::CorrelationId;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{HandlerError, RunContext, TenantDb};

/// Something that a handler may have as an argument.
///
/// | argument | is |
/// |---|---|
/// | [`RunContext`] | everything |
/// | [`Tenant`], `Arc<Tenant>` | whose run it is |
/// | [`Payload<T>`] | the job's payload as a type of one's own |
/// | [`TenantDb`] | the tenant's own database |
/// | [`Once`](crate::Once) | does something once over all attempts of the run |
/// | [`State<T>`] | what the executor was given by [`Executor::state`](crate::Executor::state) |
/// | [`Progress`] | says how far the run is |
/// | [`CancellationToken`] | tells when to stop |
/// | [`CorrelationId`] | the run |
/// | [`Attempt`], [`ScheduledFor`] | which try, for which due time |
///
/// An argument of one's own is made of these:
///
/// ```
/// use leasehold_executor::{FromRun, HandlerError, RunContext};
///
/// /// The region that a tenant's data is in.
/// struct Region(String);
///
/// impl FromRun for Region {
///     async fn from_run(context: &RunContext) -> Result<Self, HandlerError> {
///         let region = context.tenant().labels.get("region");
///         region.cloned().map(Self).ok_or_else(|| HandlerError::permanent("the tenant has no label `region`"))
///     }
/// }
///
/// async fn back_up(Region(region): Region) -> Result<String, HandlerError> {
///     Ok(format!("backed up in {region}"))
/// }
/// # fn is_a_handler<M>(_: impl leasehold_executor::Handler<M>) {}
/// # is_a_handler(back_up);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the argument of a handler",
    note = "implement `FromRun` for it, or take the whole `RunContext`"
)]
pub trait FromRun: Sized + Send {
    /// Takes it from the run. An error ends the attempt before the handler is called.
    fn from_run(context: &RunContext) -> impl Future<Output = Result<Self, HandlerError>> + Send;

    /// Says what it needs beyond what every run has. An executor looks at this when it starts.
    fn wants(_wants: &mut Wants) {}
}

/// Whether a payload can be read as some type, and why not.
pub(crate) type PayloadCheck = fn(&Value) -> Result<(), String>;

/// What handlers need beyond what every run has. See [`FromRun::wants`].
#[derive(Clone, Debug, Default)]
pub struct Wants {
    pub(crate) payloads: Vec<PayloadCheck>,
    pub(crate) states: Vec<(TypeId, &'static str)>,
}

impl Wants {
    /// A payload of this type. Jobs whose payload does not fit are named in the log when the executor starts.
    pub fn payload<T: DeserializeOwned>(&mut self) {
        self.payloads.push(|payload| T::deserialize(payload).map(drop).map_err(|error| error.to_string()));
    }

    /// A state of this type. Without it the executor does not start.
    pub fn state<T: Any>(&mut self) {
        self.states.push((TypeId::of::<T>(), type_name::<T>()));
    }
}

/// The job's payload, its templates filled in, as a type of one's own. A job without a payload has `null`. One that does
/// not fit ends the run at once: another attempt would get the same. See [`RunContext::payload_as`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<T>(pub T);

impl<T: DeserializeOwned + Send> FromRun for Payload<T> {
    async fn from_run(context: &RunContext) -> Result<Self, HandlerError> {
        context.payload_as().map(Self)
    }

    fn wants(wants: &mut Wants) {
        wants.payload::<T>();
    }
}

/// What the executor was given by [`Executor::state`](crate::Executor::state): a pool, a client, a setting.
///
/// ```
/// use leasehold_executor::{Executor, HandlerError, State};
///
/// #[derive(Clone)]
/// struct Mailer;
///
/// async fn remind(State(mailer): State<Mailer>) -> Result<(), HandlerError> {
///     Ok(())
/// }
///
/// fn with_handlers(executor: Executor) -> Executor {
///     executor.handler("remind", remind).state(Mailer)
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State<T>(pub T);

impl<T: Any + Clone + Send + Sync> FromRun for State<T> {
    async fn from_run(context: &RunContext) -> Result<Self, HandlerError> {
        // An executor without it does not start; a context of a test may lack it.
        context.state().cloned().map(Self).ok_or_else(|| {
            let name = type_name::<T>();
            HandlerError::permanent(format!("there is no State<{name}>; give it to the executor with `state`"))
        })
    }

    fn wants(wants: &mut Wants) {
        wants.state::<T>();
    }
}

/// The number of the attempt, 1 for the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempt(pub u32);

/// The due time, or the moment of the trigger. Work for "yesterday" is relative to this and not to the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScheduledFor(pub Timestamp);

/// Says how far the run is, for `leasehold runs show`. See [`RunContext::progress`].
#[derive(Clone, Debug)]
pub struct Progress(RunContext);

impl Progress {
    /// How much is done, 0 to 100, and what it is doing.
    pub fn set(&self, percent: u8, message: impl AsRef<str>) {
        self.0.progress(percent, message);
    }

    /// Adds a line, or several, to the log of the run.
    pub fn log(&self, line: impl AsRef<str>) {
        self.0.log(line);
    }
}

macro_rules! parts {
    ($($type:ty: |$context:ident| $part:expr;)+) => {
        $(impl FromRun for $type {
            async fn from_run($context: &RunContext) -> Result<Self, HandlerError> {
                Ok($part)
            }
        })+
    };
}

parts! {
    RunContext: |context| context.clone();
    Tenant: |context| context.tenant().clone();
    Arc<Tenant>: |context| context.shared_tenant();
    Progress: |context| Self(context.clone());
    CancellationToken: |context| context.cancellation().clone();
    CorrelationId: |context| context.correlation_id();
    Attempt: |context| Self(context.attempt());
    ScheduledFor: |context| Self(context.scheduled_for());
}

impl FromRun for TenantDb {
    async fn from_run(context: &RunContext) -> Result<Self, HandlerError> {
        context.database().await
    }
}
