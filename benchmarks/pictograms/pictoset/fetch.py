"""The packages that the set is built from, fetched by name and unpacked."""

import hashlib
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from pictoset.sources import CLIPART, SOURCES, WORD_PACKAGES


@dataclass(frozen=True)
class Package:
    """One pinned package and the file names it may have on disk."""

    name: str
    version: str
    debian: bool = False

    @property
    def folder(self) -> str:
        return re.sub(r"[^a-z0-9-]+", "-", self.name.lower()).strip("-")

    def archive(self, where: Path) -> Path | None:
        """The fetched archive, or None."""
        if self.debian:
            quoted = self.version.replace(":", "%3a")
            archives = sorted(where.glob(f"{self.name}_{quoted}_*.deb"))
            return archives[0] if archives else None
        path = where / f"{self.folder}-{self.version}.tgz"
        return path if path.exists() else None


def packages() -> list[Package]:
    """All packages in a fixed order."""
    pictures = [
        Package(s.package, s.version, debian=s.name == CLIPART)
        for s in SOURCES.values()
    ]
    return pictures + [Package(name, ver) for name, ver in WORD_PACKAGES.items()]


def sha256(path: Path) -> str:
    """The checksum of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fetch(package: Package, where: Path) -> Path:
    """Get one archive with the ordinary client, unless it is there already."""
    archive = package.archive(where)
    if archive is None:
        if package.debian:
            command = ["apt-get", "download", f"{package.name}={package.version}"]
        else:
            command = ["npm", "pack", f"{package.name}@{package.version}"]
        subprocess.run(command, cwd=where, check=True, capture_output=True)
        archive = package.archive(where)
    if archive is None:
        raise FileNotFoundError(f"{package.name} {package.version}: no archive came")
    return archive


def unpack(package: Package, archive: Path, where: Path) -> Path:
    """Unpack one archive into a fresh folder of its own."""
    target = where / package.folder
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(parents=True)
    if package.debian:
        subprocess.run(["dpkg-deb", "-x", str(archive), str(target)], check=True)
        return target
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")
    return target / "package"


def fetch_all(where: Path, expected: dict[str, str]) -> tuple[dict[str, Path], dict]:
    """Fetch, check and unpack everything: folders by package name, and checksums.

    `expected` maps package names to checksums; a package it does not know is taken
    as it comes, one that differs is an error.
    """
    where.mkdir(parents=True, exist_ok=True)
    folders, sums = {}, {}
    for package in packages():
        archive = fetch(package, where)
        sums[package.name] = sha256(archive)
        stated = expected.get(package.name, sums[package.name])
        if stated != sums[package.name]:
            raise ValueError(
                f"{archive}: sha256 {sums[package.name]}, expected {stated}. "
                "Delete the file and fetch it again."
            )
        folders[package.name] = unpack(package, archive, where / "unpacked")
    return folders, sums
