"""What the fleet's database keeps of updates: devices, images, campaigns, and every attempt."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tinyseal.fleet.database import Base, Utc


class Device(Base):
    """One device of the fleet, by the name its fleet file gives it."""

    __tablename__ = "device"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    board: Mapped[str | None]  # as it said itself, like the next
    hardware_id: Mapped[str | None]
    last_seen: Mapped[datetime | None] = mapped_column(Utc)


class ImageFile(Base):
    """An image that was to be installed, by the hash that devices tell."""

    __tablename__ = "image"

    id: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(unique=True)  # hexadecimal
    file: Mapped[str]
    version: Mapped[str]
    security_counter: Mapped[int]
    bytes: Mapped[int]


class Campaign(Base):
    """One set of images for one fleet."""

    __tablename__ = "campaign"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(index=True)
    status: Mapped[str]  # running, paused, stopped, done, incomplete
    reason: Mapped[str | None]  # why it was stopped
    started: Mapped[datetime] = mapped_column(Utc)
    ended: Mapped[datetime | None] = mapped_column(Utc)
    canaries_passed: Mapped[bool] = mapped_column(default=False)
    images: Mapped[list[ImageFile]] = relationship(
        secondary="campaign_image", order_by=ImageFile.file
    )
    members: Mapped[list[Member]] = relationship(
        back_populates="campaign", order_by="Member.position"
    )


class CampaignImage(Base):
    """Which images a campaign installs."""

    __tablename__ = "campaign_image"

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True)


class Member(Base):
    """A device's part in a campaign."""

    __tablename__ = "member"
    __table_args__ = (UniqueConstraint("campaign_id", "device_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), index=True)
    device_id: Mapped[int] = mapped_column(ForeignKey("device.id"))
    position: Mapped[int]  # in the fleet file
    is_canary: Mapped[bool]
    outcome: Mapped[str | None]  # of the last attempt; None: none has ended yet
    campaign: Mapped[Campaign] = relationship(back_populates="members")
    device: Mapped[Device] = relationship()
    attempts: Mapped[list[Attempt]] = relationship(
        back_populates="member", order_by="Attempt.started"
    )


class Attempt(Base):
    """One try to bring a device to the images. Without an end, the tool was killed in it."""

    __tablename__ = "attempt"

    id: Mapped[int] = mapped_column(primary_key=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("member.id"), index=True)
    started: Mapped[datetime] = mapped_column(Utc)
    ended: Mapped[datetime | None] = mapped_column(Utc)
    outcome: Mapped[str | None]
    reason: Mapped[str | None]
    sent_bytes: Mapped[int | None]
    member: Mapped[Member] = relationship(back_populates="attempts")
    changes: Mapped[list[Change]] = relationship(order_by="Change.image")


class Change(Base):
    """What an attempt did to one image of a device."""

    __tablename__ = "change"

    attempt_id: Mapped[int] = mapped_column(ForeignKey("attempt.id"), primary_key=True)
    image: Mapped[str] = mapped_column(primary_key=True)  # app, capsule
    hash_before: Mapped[str | None]
    version_before: Mapped[str | None]
    hash_after: Mapped[str]
    version_after: Mapped[str]
