"""Files of what there is: each noun as CSV or XLSX, in the columns of the imports where it can be imported."""
