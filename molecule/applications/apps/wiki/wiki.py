import os
import re
import subprocess
import sys

from flask import Flask, abort, redirect, render_template_string, request

REPOSITORY = "repository"
if not os.path.isdir(os.path.join(REPOSITORY, ".git")):
    sys.exit(f"{REPOSITORY} is no git repository; run: git init {REPOSITORY}")

app = Flask(__name__)
VIEW = """<!doctype html><title>{{ name }}</title>
<h1>{{ name }}</h1><pre>{{ text }}</pre><p>{{ log }}</p><a href="/{{ name }}/edit">Edit</a>"""
EDIT = """<!doctype html><title>Edit {{ name }}</title>
<form method="post"><textarea name="text">{{ text }}</textarea><input type="submit" value="Save"></form>"""


def git(*arguments):
    command = ["git", "-c", "user.name=wiki", "-c", "user.email=wiki@localhost", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout


def page(name):
    if not re.fullmatch(r"[A-Za-z0-9]+", name):
        abort(404)
    return os.path.join(REPOSITORY, f"{name}.md")


def text_of(name):
    if not os.path.exists(page(name)):
        return ""
    with open(page(name)) as stream:
        return stream.read()


@app.route("/")
def index():
    return redirect("/Home")


@app.route("/<name>")
def view(name):
    text = text_of(name)
    return render_template_string(VIEW, name=name, text=text, log=git("log", "--oneline", "--", f"{name}.md") if text else "")


@app.route("/<name>/edit", methods=["GET", "POST"])
def edit(name):
    if request.method == "POST":
        with open(page(name), "w") as stream:
            stream.write(request.form["text"])
        git("add", f"{name}.md")
        git("commit", "--allow-empty", "-m", f"Edit {name}")
        return redirect(f"/{name}")
    return render_template_string(EDIT, name=name, text=text_of(name))
