<?php use function Storefront\escaped; ?>
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title><?= escaped($title) ?></title></head>
<body>
<h1><?= escaped($title) ?></h1>
<?= $content ?>
</body>
</html>
