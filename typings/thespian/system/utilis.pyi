_thesplog_control_settings: tuple[int, bool, int]
_thesplog_file: str | None
_thesplog_old_file: str | None

def thesplog(msg: str, *args: object, level: int = ...) -> None: ...
