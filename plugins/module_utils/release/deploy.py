"""One deploy, from the source to the live release."""

from __future__ import annotations

from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.activation import Activation
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.report import summary
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder.build import Build
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.bulwark.flask.plugins.module_utils.release.history import ROLLED_BACK
from ansible_collections.bulwark.flask.plugins.module_utils.release.options import Options


class Deploy:
    """One run: from the source to the live release."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.options = Options.parse(params)
        self.force: bool = params["force"]
        self.build = Build(self.options, {**params["source"], **(params["source_secrets"] or {})}, params["local"], params["credentials"])
        self.live = Activation(self.options)
        self.entry: dict[str, Any] | None = None

    def predict(self) -> dict[str, Any]:
        """Predict a run, without changes."""
        build = self.build.predict()
        held = self._is_held_back(build["release"])
        switch = bool(self.live.orphans()) or (not held and self.live.needs_switch(build["release"]))
        return {**build, "changed": build["changed"] or switch, "built": not build["reused"], "instance": self.live.instances.live(),
                "pruned": [], "report": {}, "summary": []}

    def _is_held_back(self, release: str) -> bool:
        """Whether a rollback keeps a release from being activated again by itself."""
        held = self.live.record.state(release) == ROLLED_BACK and not self.force
        if held:
            status = self.live.record.status(release)
            self.build.warnings.append(
                f"{release} was rolled back on {status['time']} by {status['by']} and is not activated again; {self.live.live_release()} stays live. "
                "Deploy a changed source, or this release with -e app_release_force=true")
        return held

    def run(self) -> dict[str, Any]:
        """Build and activate, under the application's lock."""
        self.build.prepare()
        with self.build.releases.lock.hold(self.options.name, self.options.by):
            recovered = self.live.recover()
            try:
                build = self.build.run(self._announce)
            except ReleaseError as error:
                if self.entry:
                    self.live.record.end(self.entry, "failed", step=error.step, reason=str(error).splitlines()[0])
                raise
            if build.get("need_upload"):
                return build
            release = build["release"]
            changed = recovered or build["changed"]
            if not self._is_held_back(release) and self.live.needs_switch(release):
                changed = True
                self.live.steps = {"build": round(sum(build["steps"].values()), 2)} if not build["reused"] else {}
                self.live.activate(release, "deploy" if self.live.live_release() != release else "restart", self.entry)
            pruned = self.live.prune()
        warnings = self.build.warnings + self.live.warnings
        answer = self.live.answer(changed=changed or bool(pruned), built=not build["reused"], manifest=build["manifest"], pruned=pruned)
        return {**answer, "warnings": warnings, "summary": summary(self.options.name, answer, build["steps"])}

    def _announce(self, commit: str | None) -> None:
        self.entry = self.live.record.begin("deploy", self.options.by, commit=commit, previous=self.live.live_release())


def is_as_left(params: dict[str, Any]) -> bool:
    """Whether a run with the same arguments would do and report nothing. Raises ReleaseError where it would fail."""
    deploy = Deploy(params)
    predicted = deploy.predict()
    return not (predicted["changed"] or deploy.build.warnings or deploy.live.warnings or deploy.live.to_prune()) and deploy.live.is_complete()
