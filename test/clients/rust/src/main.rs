//! Users of the crates matrix-sdk and matrix-sdk-ui, the engine of the newest mobile clients, on a homeserver:
//! `hearth-rust-client URL ALICE PASSWORD BOB PASSWORD`. The two accounts are there, and have no devices and no rooms.
//!
//! Prints a line for each step that went well. A step that does not is told with its cause, and the exit code is 1. Once it
//! asks for the server to be restarted, and goes on after a line of input.
//! `RUST_LOG` says what the crates log to the errors stream.

mod chat;
mod conversation;
mod device;
mod patience;
mod reconnecting;
mod recovery;
mod room;

use std::{env, io, process::ExitCode, time::Instant};

use anyhow::{Context, Result, anyhow};
use tracing_subscriber::EnvFilter;

use device::Account;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_ansi(false)
        .with_writer(io::stderr)
        .init();
    match run(env::args().skip(1).collect()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Vec<String>) -> Result<()> {
    let [url, alice, alices_password, bob, bobs_password] = <[String; 5]>::try_from(arguments)
        .map_err(|_| anyhow!("usage: hearth-rust-client URL ALICE PASSWORD BOB PASSWORD"))?;
    let alice = Account { name: alice, password: alices_password };
    let bob = Account { name: bob, password: bobs_password };
    tell(&url, &alice, &bob).await
}

/// The whole story. Each step goes on where the one before it ended.
async fn tell(url: &str, alice: &Account, bob: &Account) -> Result<()> {
    let phone = step("Alice logs in, and makes her keys", room::first_device(url, alice)).await?;
    let bobs = step("Bob logs in, and makes his", room::first_device(url, bob)).await?;
    let at_alice = step("Alice makes an encrypted room", room::create(&phone)).await?;
    let at_bob =
        step("Bob sees an invitation in his room list, and joins", room::invite(&at_alice, &bobs)).await?;
    step("Bob reads what was said before he came", room::shared_history(&at_alice, &at_bob)).await?;
    let early = step("both read each other", conversation::talk(&at_alice, &at_bob)).await?;
    step("a reply, an edit, reactions, a redaction", conversation::relate(&at_alice, &at_bob)).await?;
    step("an encrypted file", conversation::attach(&at_alice, &at_bob)).await?;
    step("typing, read receipts, unread counts", conversation::read(&at_alice, &at_bob)).await?;
    let key = step("Alice enables recovery", recovery::enable(&phone)).await?;
    step("Alice makes many more rooms", room::create_many(&phone)).await?;
    let (laptop, at_laptop) = step(
        "a fresh device of Alice knows the room, and cannot read it",
        recovery::fresh_device(url, alice, &at_alice, &early),
    )
    .await?;
    step(
        "the recovery key verifies it, and brings the history",
        recovery::recover(&laptop, &at_laptop, &key, &early),
    )
    .await?;
    step("Bob trusts both devices of Alice", recovery::trust(&phone, &laptop, &at_bob)).await?;
    let chats = [&at_alice, &at_laptop, &at_bob];
    let words = ["The first.", "The second.", "The third."];
    step("all three devices read each other", conversation::sing(chats, words)).await?;
    step(
        "the room list of the fresh device has grown to all rooms",
        room::list(&laptop, &at_laptop, &at_bob),
    )
    .await?;
    step("account data comes to the other device", room::favourite(&at_alice, &at_laptop)).await?;
    step("after a time away, the gap is filled", reconnecting::gap(&laptop, &at_laptop, &at_bob)).await?;
    step("a forgotten session is begun anew", reconnecting::expire(&laptop, &at_laptop, &at_bob)).await?;
    step("the server is killed and started, and all go on", reconnecting::restart(&laptop, chats)).await?;
    step("Bob leaves, and the room leaves his list", room::leave(&at_alice, &at_bob, &bobs)).await?;
    step("devices log out", room::log_out([&laptop, &bobs])).await
}

async fn step<T>(name: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let started = Instant::now();
    let done = work.await.with_context(|| format!("FAILED: {name}"))?;
    println!("ok, {:5.1} s: {name}", started.elapsed().as_secs_f32());
    Ok(done)
}
