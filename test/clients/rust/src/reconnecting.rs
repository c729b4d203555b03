//! Connections of sliding sync that rest, and that are lost.

use std::io;

use anyhow::{Result, ensure};

use crate::{chat::Chat, conversation::sing, device::Device};

// More than a subscription to a room brings at once.
const MISSED: usize = 30;
/// What the program says to have the server killed and started.
const RESTART: &str = "please restart the server";

/// A device that was away gets the end of what it missed, and the rest when it reads back.
pub async fn gap(device: &Device, away: &Chat, speaker: &Chat) -> Result<()> {
    device.sync.stop().await;
    let mut said = vec![];
    for number in 1..=MISSED {
        let body = format!("Line {number} of the song.");
        said.push((speaker.say(&body).await?, body));
    }
    device.start().await?;
    for (event_id, body) in said.iter().rev() {
        away.page_back_to(event_id).await?;
        away.reads(event_id, body).await?;
    }
    Ok(())
}

/// A client that forgets where it was asks for everything, and misses nothing.
pub async fn expire(device: &Device, listener: &Chat, speaker: &Chat) -> Result<()> {
    device.sync.stop().await;
    device.sync.expire_sessions().await;
    let meanwhile = speaker.say("Meanwhile.").await?;
    device.start().await?;
    listener.reads(&meanwhile, "Meanwhile.").await?;
    let after = speaker.say("And after.").await?;
    listener.reads(&after, "And after.").await?;
    Ok(())
}

/// Asks on standard output for the server to be killed and started, and goes on after a line of input. Nothing that was
/// acknowledged before is lost, and who was connected connects again.
pub async fn restart(laptop: &Device, chats: [&Chat; 3]) -> Result<()> {
    let [_, at_laptop, at_bob] = chats;
    laptop.sync.stop().await;
    let before = at_bob.say("The light flickers.").await?;
    println!("{RESTART}");
    let answer = tokio::task::spawn_blocking(|| io::stdin().read_line(&mut String::new()));
    ensure!(answer.await?? > 0, "nobody restarts the server");
    laptop.start().await?;
    at_laptop.reads(&before, "The light flickers.").await?;
    sing(chats, ["A candle.", "Two candles.", "Three."]).await
}
