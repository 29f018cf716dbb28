"""The commands of zclient that talk to no broker, or to several."""
