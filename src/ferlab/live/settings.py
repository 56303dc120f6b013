"""What a session is told: the keys of conf/live.yaml, which explains them, and the arguments of `ferlab.live`."""

from dataclasses import asdict, dataclass, field, fields, replace

from ferlab.catalogue import choice, choices
from ferlab.errors import ConfigError, suggest
from ferlab.live import yunet
from ferlab.live.smooth import Smoothing, preset

PAGE = "page"  # as a source: the camera of the browser that opens the page
SEARCH = ("every", "adaptive")
SERVED = ("host", "port", "lan", "open")  # keys of the page
READ = ("page", "backend", "fps", "paced", "seconds")  # keys of a source that is read here
KEPT = ("record", "screenshots", "crops", "encrypt")  # keys of what lies in the session's folder
AUTO = "auto"  # a video of what the page records, for somebody pressed a button; none of what runs on the terminal
RECORD = (AUTO, "overlay", "plain")
SHOW = ["box", "label", "bars", "affect", "timeline", "numbers"]


@dataclass
class SmoothConfig:
    """What `smooth.…` changes of the preset; None leaves it. See `Smoothing`."""

    filter: str | None = None
    window: float | None = None
    streak: float | None = None
    strong: float | None = None
    certain: float | None = None
    close: float | None = None
    snap: float | None = None
    transition: float | None = None


@dataclass
class LiveConfig:
    """Keys of conf/live.yaml.

    Raises:
        ConfigError: a value that means nothing.
    """

    bundle: str = "ferplus_int8"
    source: str = PAGE
    page: bool = False
    host: str = "127.0.0.1"
    port: int = 0
    lan: bool = False
    open: bool = True
    view: str | None = None
    out: str | None = None
    record: str | None = choice(AUTO, RECORD)
    screenshots: float | None = None
    show: list[str] = choice(SHOW, SHOW)
    blur: bool = False
    crops: bool = False
    encrypt: str | None = None
    preset: str = "stable"
    smooth: SmoothConfig = field(default_factory=SmoothConfig)
    detect: str = choice("auto", "ferlab.live.detect:DETECT")
    detector_file: str | None = None
    search: str = choice("every", SEARCH)
    side: int = yunet.LIVE[0]
    score: float = 0.6
    smallest: int = 40
    backend: str = choice("any", "ferlab.live.camera:BACKENDS")
    fps: float = 25.0
    paced: bool = False
    seconds: float | None = None
    identity: str | None = None
    identity_file: str | None = None
    alike: float = 0.4
    names: bool = False
    key_file: str | None = None
    top: int = 3
    device: str = "cpu"
    threads: int = 1

    def __post_init__(self) -> None:
        """Raise ConfigError for a value that means nothing."""
        for each in fields(self):  # `config.typed` says the same, but Python's users do not come by there
            known, value = choices(type(self), each.name), getattr(self, each.name)
            for one in value if isinstance(value, list) else [value]:
                if known and one is not None and one not in known:
                    raise ConfigError(f"unknown {each.name} '{one}'; {suggest(str(one), known)}")
        if not 0 < self.score <= 1:
            raise ConfigError(f"score must be above 0 and at most 1, got {self.score}")
        if not 0 < self.alike < 1:
            raise ConfigError(f"alike must be between 0 and 1, got {self.alike}")
        for key in ("names", "identity_file", "key_file"):
            if getattr(self, key) and self.identity is None:
                raise ConfigError(
                    f"{key} must go with a gallery, got none; give identity=gallery.json, or leave it out"
                )
        for key in ("top", "smallest", "side", "threads"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key} must be at least 1, got {getattr(self, key)}")
        if not 0 <= self.port < 2**16:
            raise ConfigError(f"port must be from 0 to 65535, got {self.port}; 0 takes a free one")
        for key in ("fps", "seconds", "screenshots"):
            if (value := getattr(self, key)) is not None and not value > 0:
                raise ConfigError(f"{key} must be above 0, got {value}")

        self._check_page()
        self._check_kept()

    @property
    def paged(self) -> bool:
        """Whether there is a page: for its own source, for another one to be looked at, or for a session."""
        return self.source == PAGE or self.page or self.view is not None

    def _check_page(self) -> None:
        """Raise ConfigError for a key that would do nothing with this source."""
        default = {each.name: each.default for each in fields(self)}
        if self.view is not None:
            for key in default.keys() - {"view", "smooth", "show", *SERVED}:
                if getattr(self, key) != default[key]:
                    raise ConfigError(
                        f"{key} must be left out with view, which watches nothing, got {getattr(self, key)}"
                    )
        elif not self.paged:
            for key in SERVED:
                if getattr(self, key) != default[key]:
                    raise ConfigError(f"{key} must go with a page, got source={self.source}; add page=true")
        elif self.source == PAGE:
            for key in READ:
                if getattr(self, key) != default[key]:
                    what = "a camera or a file of this machine"
                    raise ConfigError(f"{key} must go with {what}, got source={PAGE}; add source=0, or leave it out")
            if self.out == "-":
                raise ConfigError(f"out must be a folder with source={PAGE}, got -; its lines are at /feed of the page")

    def _check_kept(self) -> None:
        """Raise ConfigError for something to keep that has no place, or that would show whom `blur` hides."""
        for key in KEPT:
            if (
                getattr(self, key) not in (None, False, AUTO) and self.out in (None, "-") and self.source != PAGE
            ):  # where it is outputs/live
                raise ConfigError(f"{key} must have a folder, got out={self.out}; add out=session")
        if self.blur and self.search != "every":
            raise ConfigError("search must be every with blur=true, got adaptive, which finds a new face too late")

        if self.blur and self.crops:
            raise ConfigError("crops must be false with blur=true, got true; what the model saw are the faces")

    @property
    def video(self) -> str | None:
        """What is recorded as a video, overlay or plain; None is nothing."""
        if self.record == AUTO:
            return "plain" if self.source == PAGE else None
        return self.record

    @property
    def smoothing(self) -> Smoothing:
        """The preset with what `smooth` changes of it; ConfigError for a value that means nothing."""
        changed = {key: value for key, value in asdict(self.smooth).items() if value is not None}
        return replace(preset(self.preset), **changed)
