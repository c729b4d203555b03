//! Waiting for what other devices and the server do.

use std::{fmt::Display, time::Duration};

use anyhow::{Result, ensure};
use tokio::time::{Instant, sleep};

// A busy machine with two cores takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the attempt gives something. Fails, naming what it waited for, when that takes too long.
pub async fn until<T>(what: impl Display, mut attempt: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = attempt().await? {
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "waited {} s in vain for {what}", PATIENCE.as_secs());
        sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the condition holds.
pub async fn until_true(what: impl Display, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    until(what, async || Ok(holds().await?.then_some(()))).await
}
