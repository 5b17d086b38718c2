"""Every error that the domain raises, and the tree they form.

    ActorSystemError
    |- InvalidUnitsError            an amount that is no whole number of ten-thousandths
    |- InvalidSelectorError         a device name that names no device
    |- LimitError                   a limit that is not a whole number from 0 to 64, or for an unknown device
    |- LeaseError
    |  |- LeaseNotFoundError        no such lease, or it has ended
    |  `- LeaseExpiredError         the holder was silent for longer than the time to live
    |- RequestError
    |  |- UnsatisfiableRequestError could never be granted on this hardware with these limits
    |  |- DuplicateRequestError     the id is in use for something else
    |  `- LineFullError             the waiting line is at its length limit
    |- TaskError
    |  |- TaskNotFoundError
    |  |- TaskEndedError            the task has ended; nothing more can be done with it
    |  |- TaskNotEndedError         the task must end first
    |  |- TaskNotWaitingError       the task is not in line (any more)
    |  `- InvalidTransitionError    a state change that the table does not hold
    |- KeyNotFoundError             no API key has this id
    |- LastAdminKeyError            without this API key nobody could manage keys
    |- SubmissionError              a request whose field is wrong in a way only this machine can tell
    |- StoreUnavailableError        the durable store cannot be written or read now (a full disk, say)
    |- StaleTokenError              a holder with an old fencing token wants to write
    |- ModelError
    |  |- ModelNotFoundError        no such model, version or alias
    |  |- ModelInUseError           an alias means the version
    |  |- AliasMovedError           the alias was changed by somebody else meanwhile
    |  `- ModelCheckError           the version cannot be loaded, or fails its check
    `- PredictionError
       |- ServingFullError          every replica has as much waiting as it may
       |- DeadlineExceededError     the answer would come later than the caller wants it
       `- PredictionInputError      what was sent cannot be predicted by this model

"Not now" is never an error: a request that has to wait gets a ``Queue`` command. These errors cross Ray, so every class hands its
constructor's arguments unchanged to ``Exception`` and builds its text in ``__str__``.
"""


class ActorSystemError(Exception):
    """Base of all domain errors; ``code`` is the stable name that HTTP answers carry. Equal errors say the same."""

    code = "internal_error"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.args == other.args

    def __hash__(self) -> int:
        return hash((type(self), self.args))


class InvalidUnitsError(ActorSystemError):
    """An amount of a device that is no whole number of ten-thousandths between 0 and 1."""

    code = "invalid_fraction"

    def __init__(self, given: str) -> None:
        super().__init__(given)
        self.given = given

    def __str__(self) -> str:
        return f"{self.given!r} is no fraction of a device: give 0 to 1 in steps of 0.0001"


class InvalidSelectorError(ActorSystemError):
    """A device name of another form than cpu, cpu:N, cuda or cuda:N."""

    code = "invalid_device"

    def __init__(self, given: str) -> None:
        super().__init__(given)
        self.given = given

    def __str__(self) -> str:
        return f"device {self.given!r} is not one of cpu, cpu:N, cuda (the least loaded GPU) or cuda:N"


class LimitError(ActorSystemError):
    """A limit that cannot be set; ``field`` names it, ``reason`` says why and what would be accepted."""

    code = "invalid_limit"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field, reason)
        self.field = field
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


class LeaseError(ActorSystemError):
    """Base of what can be wrong with a lease that somebody believes to hold."""

    code = "lease_error"

    def __init__(self, lease_id: str) -> None:
        super().__init__(lease_id)
        self.lease_id = lease_id


class LeaseNotFoundError(LeaseError):
    """No such lease, or it has ended already, or the token is not the lease's own."""

    code = "lease_not_found"

    def __str__(self) -> str:
        return f"lease {self.lease_id} does not exist or has ended; its holder must stop"


class LeaseExpiredError(LeaseError):
    """The lease was not renewed within its time to live and is being taken back."""

    code = "lease_expired"

    def __str__(self) -> str:
        return f"lease {self.lease_id} expired because it was not renewed in time; its holder must stop"


class RequestError(ActorSystemError):
    """Base of lease requests that are refused for good."""

    code = "request_refused"

    def __init__(self, request_id: str, reason: str) -> None:
        super().__init__(request_id, reason)
        self.request_id = request_id
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class UnsatisfiableRequestError(RequestError):
    """No device could ever carry the request, whatever ends first."""

    code = "impossible_device"


class DuplicateRequestError(RequestError):
    """The id was used before with another content."""

    code = "duplicate_id"


class LineFullError(RequestError):
    """The waiting line holds as many tasks as the settings allow."""

    code = "queue_full"


class TaskError(ActorSystemError):
    """Base of errors about one task."""

    code = "task_error"

    def __init__(self, task_id: str) -> None:
        super().__init__(task_id)
        self.task_id = task_id


class TaskNotFoundError(TaskError):
    """No task has this id."""

    code = "task_not_found"

    def __str__(self) -> str:
        return f"task {self.task_id} does not exist"


class TaskEndedError(TaskError):
    """The task has reached its end; it can be read or deleted, nothing else."""

    code = "task_already_ended"

    def __str__(self) -> str:
        return f"task {self.task_id} has already ended"


class TaskNotEndedError(TaskError):
    """The task is still waiting or running and cannot be deleted."""

    code = "task_not_ended"

    def __str__(self) -> str:
        return f"task {self.task_id} has not ended yet; cancel it first"


class TaskNotWaitingError(TaskError):
    """Only a task that waits can get another place in the line."""

    code = "task_not_waiting"

    def __str__(self) -> str:
        return f"task {self.task_id!r} does not wait in line; only a pending or queued task can get another priority"


class InvalidTransitionError(ActorSystemError):
    """A state change that the table of legal moves does not hold; carries the task's story so far."""

    code = "invalid_transition"

    def __init__(self, task_id: str, wanted: str, history: tuple[str, ...]) -> None:
        super().__init__(task_id, wanted, history)
        self.task_id = task_id
        self.wanted = wanted
        self.history = history

    def __str__(self) -> str:
        return f"task {self.task_id} cannot become {self.wanted}; its history: {' -> '.join(self.history)}"


class KeyNotFoundError(ActorSystemError):
    """No API key has this id."""

    code = "key_not_found"

    def __init__(self, key_id: str) -> None:
        super().__init__(key_id)
        self.key_id = key_id

    def __str__(self) -> str:
        return f"there is no key {self.key_id!r}"


class LastAdminKeyError(ActorSystemError):
    """The key is the last that may manage keys."""

    code = "last_admin_key"

    def __init__(self, key_id: str) -> None:
        super().__init__(key_id)
        self.key_id = key_id

    def __str__(self) -> str:
        return f"key {self.key_id!r} is the last admin key: make another first, or use `rfuav keys revoke` on the service's machine"


class SubmissionError(ActorSystemError):
    """A submission whose field is well formed but wrong on this machine (a missing path, too few classes, ...).

    Attributes:
        code: the stable name, for example ``path_not_found``.
        field: the request field that is wrong.
        message: the value and what is wrong with it.
        hint: the remedy.
    """

    def __init__(self, code: str, field: str, message: str, hint: str = "") -> None:
        super().__init__(code, field, message, hint)
        self.code = code
        self.field = field
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class StoreUnavailableError(ActorSystemError):
    """The durable store cannot be used now; nothing was accepted, and asking again later may succeed."""

    code = "store_unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        # In the words of SQLite, and of the kernel that other databases pass on.
        is_full = "disk is full" in self.reason or "No space left" in self.reason
        remedy = "; free some space on the store's disk, then try again" if is_full else ""
        return f"the store cannot be used now: {self.reason}{remedy}"


class StaleTokenError(ActorSystemError):
    """An attempt wants to write where a newer attempt has written already."""

    code = "stale_token"

    def __init__(self, token: int, newest: int) -> None:
        super().__init__(token, newest)
        self.token = token
        self.newest = newest

    def __str__(self) -> str:
        return f"token {self.token} is older than {self.newest}: a newer attempt owns this output; this one must stop"


class ModelError(ActorSystemError):
    """Base of errors about a registered model, or a version of one."""

    code = "model_error"

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(model, reason)
        self.model = model
        self.reason = reason

    def __str__(self) -> str:
        return f"model {self.model!r}: {self.reason}"


class ModelNotFoundError(ModelError):
    """No such model, or none of its versions or aliases is called so; ``reason`` tells what there is."""

    code = "model_not_found"


class ModelInUseError(ModelError):
    """A version that an alias means cannot be deleted."""

    code = "model_in_use"


class AliasMovedError(ModelError):
    """Somebody else changed the alias while a version was being prepared for it."""

    code = "alias_moved"


class ModelCheckError(ModelError):
    """The version cannot be loaded, or does not answer its golden inputs as it should; it gets no traffic."""

    code = "model_check_failed"


class PredictionError(ActorSystemError):
    """Base of errors about one online prediction."""

    code = "prediction_failed"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class ServingFullError(PredictionError):
    """Every replica has as many requests waiting as it may."""

    code = "serving_full"


class DeadlineExceededError(PredictionError):
    """The answer would come later than the caller wants it; the work was dropped."""

    code = "deadline_exceeded"


class PredictionInputError(PredictionError):
    """What was sent cannot be predicted by this model; the reason names the remedy."""

    code = "invalid_input"
