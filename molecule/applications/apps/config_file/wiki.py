import os

from flask import Flask, render_template_string

app = Flask(__name__)
app.config.from_envvar("WIKI_SETTINGS")


@app.route("/")
def index():
    return render_template_string("<h1>{{ title }}</h1>", title=app.config["TITLE"])
