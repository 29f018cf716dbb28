"""One distribution, `zjobs`: the top-level folders are installed as packages of that name."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
FOLDERS = ["broker", "worker", "client", "messages", "program", "testing"]
PACKAGES = ["zjobs", *(f"zjobs.{folder}" for folder in FOLDERS)]
PACKAGES += [f"zjobs.{folder}.{inner}" for folder in FOLDERS for inner in find_packages(str(HERE / folder))]

version = re.search(r'^VERSION = "(.+)"$', (HERE / "program/version.py").read_text(), re.M)
assert version is not None

setup(
    name="zjobs",
    version=version[1],
    description="A job queue over ZeroMQ: jobs run strictly in turn, one at a time, and are never lost",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=PACKAGES,
    # not in a folder named zjobs: from here, Python would import that one in place of what is installed
    package_dir={"zjobs": "api", **{f"zjobs.{folder}": folder for folder in FOLDERS}},
    data_files=[("share/man/man1", [f"docs/man/{name}.1" for name in ("zbroker", "zclient", "zworker")])],
    package_data={package: ["py.typed"] for package in PACKAGES},
    install_requires=[
        # 27.0: the first release with wheels of libzmq 4.3.5 for Python 3.10 to 3.14
        "pyzmq>=27.0",
        # 1.2.1: bounds that stop crafted input from exhausting memory in the unpacker
        "msgpack>=1.2.1",
        # docopt-ng is the maintained docopt; 0.9 has no syntax that Python 3.12 warns of
        "docopt-ng>=0.9",
        # Unicode's own rules for what a person sees as one character (\X); the standard library has none
        "regex>=2024.4.16",
        # Describes and makes what tasks are annotated with: small, and it knows what msgpack has (pydantic takes six
        # times as long to import, and has JSON's view). 0.20: the first release with wheels for Python 3.10 to 3.14
        "msgspec>=0.20",
        # reads the user's config.toml where the standard library does not yet
        "tomli>=2.0; python_version < '3.11'",
    ],
    extras_require={
        # What the benchmarks compare with; redis-server and beanstalkd come from the system. The bounds are the
        # releases measured last: to be faster than something outdated would prove nothing.
        "bench": ["huey>=3.5", "celery[redis]>=5.7", "greenstalk>=2.1"],
        "test": ["pytest>=8", "pytest-xdist>=3.5", "hypothesis>=6.100", "mypy>=1.10", "ruff>=0.6", "numpy>=1.26"],
    },
    entry_points={
        "console_scripts": [
            "zbroker = zjobs.broker.__main__:main",
            "zworker = zjobs.worker.__main__:main",
            "zclient = zjobs.client.__main__:run",
        ]
    },
    classifiers=[
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Topic :: System :: Distributed Computing",
    ],
)
