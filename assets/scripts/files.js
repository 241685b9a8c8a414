// A chosen or dropped file goes to the server whatever its type: that looks into it, and says in the page's language
// what it is. Gradio would refuse by the name what the browser does not take for a picture, in English.
(() => {
  const asPictures = (files) => {
    const given = new DataTransfer();
    for (const file of files) {
      given.items.add(file.type.startsWith('image/') ? file : new File([file], file.name, {type: 'image/unknown'}));
    }
    return given;
  };
  const ofPicture = (event) => event.target.closest?.('.xl-picture');
  document.addEventListener('change', (event) => {
    if (ofPicture(event) && event.target.files) event.target.files = asPictures(event.target.files).files;
  }, true);
  document.addEventListener('drop', (event) => {
    const {files} = event.dataTransfer;
    if (ofPicture(event) && files.length) Object.defineProperty(event, 'dataTransfer', {value: asPictures(files)});
  }, true);
})();
