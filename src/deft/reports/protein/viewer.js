(function () {
  "use strict";
  var designs = JSON.parse(document.getElementById("designs").textContent);
  var frame = document.getElementById("viewer");
  var stage = document.getElementById("stage");
  var style = getComputedStyle(document.documentElement);
  function colour(name) { return style.getPropertyValue(name).trim(); }
  frame.hidden = false;
  var view;
  try {
    view = $3Dmol.createViewer(stage, { backgroundColor: colour("--tint"), antialias: true });
  } catch (error) {
    view = null;
  }
  if (!view) { // no WebGL: the drawings below remain
    frame.hidden = true;
    return;
  }
  var buttons = frame.querySelectorAll("button[data-design]");
  var spinning = false;
  function show(k) {
    view.removeAllModels();
    view.addModel(designs[k].pdb, "pdb");
    var scaffold = colour("--c0"), motif = colour("--c1");
    view.setStyle({}, { cartoon: { color: scaffold, arrows: true } });
    view.addStyle({}, { line: { color: scaffold, hidden: false } });
    view.setStyle({ resi: designs[k].motif },
      { cartoon: { color: motif, arrows: true }, stick: { color: motif, radius: 0.14 } });
    view.zoomTo();
    view.render();
    buttons.forEach(function (button, i) { button.setAttribute("aria-pressed", String(i === k)); });
  }
  buttons.forEach(function (button, i) {
    button.addEventListener("click", function () { show(i); });
  });
  document.getElementById("spin").addEventListener("click", function (event) {
    spinning = !spinning;
    view.spin(spinning ? "y" : false);
    event.target.setAttribute("aria-pressed", String(spinning));
  });
  show(0);
})();
