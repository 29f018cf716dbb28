"""The command `zclient top`: the whole queue, full-screen and live. Nothing else imports textual."""
