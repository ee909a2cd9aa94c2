from flask import Blueprint, flash, g, redirect, render_template, request, session, url_for
from werkzeug.security import check_password_hash, generate_password_hash

from .db import get_db

bp = Blueprint("blog", __name__)


@bp.before_app_request
def load_user():
    g.user = session.get("username")


@bp.route("/")
def index():
    return render_template("index.html", posts=get_db().execute("SELECT * FROM post ORDER BY id DESC").fetchall())


@bp.route("/register", methods=("GET", "POST"))
def register():
    if request.method == "POST":
        db = get_db()
        db.execute("INSERT INTO user (username, password) VALUES (?, ?)",
                   (request.form["username"], generate_password_hash(request.form["password"])))
        db.commit()
        return redirect(url_for("blog.login"))
    return render_template("account.html", title="Register")


@bp.route("/login", methods=("GET", "POST"))
def login():
    if request.method == "POST":
        user = get_db().execute("SELECT * FROM user WHERE username = ?", (request.form["username"],)).fetchone()
        if user is not None and check_password_hash(user["password"], request.form["password"]):
            session.clear()
            session["username"] = user["username"]
            return redirect(url_for("blog.index"))
        flash("Incorrect username or password.")
    return render_template("account.html", title="Log In")


@bp.route("/create", methods=("GET", "POST"))
def create():
    if g.user is None:
        return redirect(url_for("blog.login"))
    if request.method == "POST":
        db = get_db()
        db.execute("INSERT INTO post (author, title, body) VALUES (?, ?, ?)", (g.user, request.form["title"], request.form["body"]))
        db.commit()
        return redirect(url_for("blog.index"))
    return render_template("create.html")
