//! An executor with handlers of its own.

mod handlers;

use std::error::Error;
use std::time::Duration;

use leasehold_executor::Executor;
use tower::timeout::TimeoutLayer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    Executor::from_env()?
        .handler("invoice", handlers::invoice)
        .handler("remind", handlers::remind)
        .state(handlers::PostOffice { a_letter_takes: Duration::from_millis(2) })
        .layer(TimeoutLayer::new(Duration::from_secs(60)))
        .run()
        .await?;
    Ok(())
}
