//! Recovery: secret storage and the key backup, which one device enables and a fresh one uses.

use anyhow::{Context, Result, ensure};
use matrix_sdk::encryption::{VerificationState, recovery::RecoveryState};

use crate::{
    chat::{Chat, is_unreadable},
    conversation::Said,
    device::{Account, Device},
    patience::until_true,
};

/// Enables recovery with all keys in the backup. Answers with the recovery key.
pub async fn enable(device: &Device) -> Result<String> {
    let encryption = device.client.encryption();
    let key = encryption.recovery().enable().wait_for_backups_to_upload().await?;
    ensure!(encryption.recovery().state() == RecoveryState::Enabled);
    ensure!(encryption.backups().are_enabled().await, "no backup");
    ensure!(encryption.backups().fetch_exists_on_server().await?, "no backup on the server");
    Ok(key)
}

/// Logs in a device that has none of the keys.
pub async fn fresh_device(
    url: &str,
    account: &Account,
    known: &Chat,
    early: &[Said],
) -> Result<(Device, Chat)> {
    let device = Device::log_in(url, account, "laptop").await?;
    let (first, _) = early.first().context("nothing was said")?;
    let chat = device.open(known.room().room_id()).await?;
    chat.page_back_to(first).await?;
    for (event_id, _) in early {
        chat.item(event_id, "unreadable", is_unreadable).await?;
    }
    let recovery = device.client.encryption().recovery();
    until_true("recovery to want the key", async || Ok(recovery.state() == RecoveryState::Incomplete))
        .await?;
    ensure!(!is_verified(&device), "verified without the key");
    Ok((device, chat))
}

/// The recovery key makes the fresh device one that is trusted, and that reads what was said before it came.
pub async fn recover(device: &Device, chat: &Chat, key: &str, early: &[Said]) -> Result<()> {
    let recovery = device.client.encryption().recovery();
    recovery.recover(key).await?;
    ensure!(recovery.state() == RecoveryState::Enabled, "recovery is {:?}", recovery.state());
    until_true("the device to be verified", async || Ok(is_verified(device))).await?;
    for (event_id, body) in early {
        chat.reads(event_id, body).await?;
    }
    Ok(())
}

/// The other user trusts both devices of the first.
pub async fn trust(phone: &Device, laptop: &Device, bob: &Chat) -> Result<()> {
    for device in [phone, laptop] {
        until_true(format_args!("Bob to trust {}", device.id()), async || {
            let encryption = bob.room().client().encryption();
            let known = encryption.get_device(device.user_id(), device.id()).await?;
            Ok(known.is_some_and(|known| known.is_cross_signed_by_owner()))
        })
        .await?;
    }
    Ok(())
}

fn is_verified(device: &Device) -> bool {
    device.client.encryption().verification_state().get() == VerificationState::Verified
}
