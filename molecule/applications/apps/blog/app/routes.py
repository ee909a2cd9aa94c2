from app import app, db
from app.forms import AccountForm, PostForm
from app.models import Post, User
from flask import flash, redirect, render_template, url_for
from flask_login import current_user, login_required, login_user


@app.route("/", methods=["GET", "POST"])
@login_required
def index():
    form = PostForm()
    if form.validate_on_submit():
        db.session.add(Post(body=form.post.data))
        db.session.commit()
        flash("Your post is now live!")
        return redirect(url_for("index"))
    return render_template("index.html", form=form, posts=Post.query.all(), user=current_user)


@app.route("/register", methods=["GET", "POST"])
def register():
    form = AccountForm()
    if form.validate_on_submit():
        user = User(username=form.username.data)
        user.set_password(form.password.data)
        db.session.add(user)
        db.session.commit()
        return redirect(url_for("sign_in"))
    return render_template("account.html", form=form)


@app.route("/login", methods=["GET", "POST"])
def sign_in():
    form = AccountForm()
    if form.validate_on_submit():
        user = User.query.filter_by(username=form.username.data).first()
        if user is None or not user.check_password(form.password.data):
            flash("Invalid username or password")
            return redirect(url_for("sign_in"))
        login_user(user, remember=True)
        return redirect(url_for("index"))
    return render_template("account.html", form=form)
