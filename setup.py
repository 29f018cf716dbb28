"""One distribution, `zjobs`: the top-level folders are installed as packages of that name."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
FOLDERS = ["broker", "worker", "client", "messages", "program", "testing", "gateway"]
PACKAGES = ["zjobs", *(f"zjobs.{folder}" for folder in FOLDERS)]
PACKAGES += [f"zjobs.{folder}.{inner}" for folder in FOLDERS for inner in find_packages(str(HERE / folder))]

version = re.search(r'^VERSION = "(.+)"$', (HERE / "program/version.py").read_text(), re.M)
assert version is not None

# Keys, resizing and painting for zclient top. 8.2: the release that it is tried with
TOP = ["textual>=8.2"]

GATEWAY = [
    # 0.135: OpenAPI of streams, and Starlette 1
    "fastapi>=0.135",
    # 0.30: an application may end its streams before the server closes connections
    "uvicorn>=0.30",
    # 2.0.40: the first release that is tested with Python 3.14
    "sqlalchemy[asyncio]>=2.0.40",
    # 0.20: connections close in order when the loop ends
    "aiosqlite>=0.20",
    # 0.31: the first release with wheels for Python 3.10 to 3.14
    "asyncpg>=0.31",
    # 1.15.1: migrations typed like SQLAlchemy 2 (1.15.0 was withdrawn)
    "alembic>=1.15.1",
    # 0.3: argon2's present parameters (RFC 9106)
    "pwdlib[argon2]>=0.3",
    # 3.1.6: CVE-2025-27516 (the templates are ours alone, but an outdated one alarms scanners)
    "jinja2>=3.1.6",
    # 0.0.18: CVE-2024-53981, one form could stall the loop
    "python-multipart>=0.0.18",
    # carries Swagger UI 5, which reads OpenAPI 3.1; swagger-ui-bundle's is of 2022 and does not
    "fastapi-offline>=1.7.4",
]

# 3.2.10: the first release with wheels for Python 3.10 to 3.14
POSTGRES = ["psycopg[binary]>=3.2.10"]

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
    data_files=[("share/man/man1", [f"docs/man/{name}.1" for name in ("zbroker", "zclient", "zgateway", "zworker")])],
    package_data={package: ["py.typed"] for package in PACKAGES}
    | {"zjobs.gateway.pages": ["templates/*.html", "templates/parts/*.html", "static/*"]},
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
        "bench": ["huey>=3.5", "celery[redis]>=5.7", "greenstalk>=2.1", "procrastinate>=3.10", *POSTGRES],
        "gateway": GATEWAY,
        "postgres": POSTGRES,
        "top": TOP,
        "test": [
            *GATEWAY,
            *POSTGRES,
            *TOP,
            "pytest>=8",
            "pytest-asyncio>=1.0",
            "pytest-xdist>=3.5",
            "httpx>=0.28",
            "hypothesis>=6.100",
            "schemathesis>=4.0; python_version >= '3.11'",
            "mypy>=1.10",
            "ruff>=0.6",
            "numpy>=1.26",
            # 1.49: the clock of a page can be driven, and Chromium of today is spoken to
            "playwright>=1.49",
            # carries axe-core, so that nothing is fetched; 0.1.5: axe-core 4.11, which knows WCAG 2.2
            "axe-playwright-python>=0.1.5",
        ],
    },
    entry_points={
        "console_scripts": [
            "zbroker = zjobs.broker.__main__:main",
            "zworker = zjobs.worker.__main__:main",
            "zclient = zjobs.client.__main__:run",
            "zgateway = zjobs.gateway.__main__:main",
        ]
    },
    classifiers=[
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Topic :: System :: Distributed Computing",
    ],
)
